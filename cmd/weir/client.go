package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/abi"
	"weir/host/config"
)

// clientFlags are those of commands that talk to a running weir.
type clientFlags struct {
	url, as, token, args, dir string
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "where weir listens (default: $WEIR_URL, the weir dev of this directory, or http://127.0.0.1:8090)")
	cmd.Flags().StringVar(&f.as, "as", "", "be this user; under weir dev only")
	cmd.Flags().StringVar(&f.token, "token", "", "a token (default: $WEIR_TOKEN)")
	cmd.Flags().StringVar(&f.args, "args", "", "the arguments as a JSON object, instead of name=value")
	cmd.Flags().StringVar(&f.dir, "dir", ".", "the project's directory")
}

// client talks to a running weir. It is safe for concurrent use.
type client struct {
	base, as, token string
	http            *http.Client
}

func (m *Main) client(f clientFlags) (*client, error) {
	base := f.url
	if base == "" {
		base = m.Getenv("WEIR_URL")
	}
	if base == "" {
		base = m.guessURL(f.dir)
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("--url %q is no address: write http://host:port", base)
	}
	token := f.token
	if token == "" && f.as == "" {
		token = m.Getenv("WEIR_TOKEN")
	}
	if f.token != "" && f.as != "" {
		return nil, usagef("--as and --token are two ways to say who you are: use one")
	}
	return newClient(strings.TrimSuffix(base, "/"), f.as, token), nil
}

func newClient(base, as, token string) *client {
	// Development users are refused through a proxy, so loopback uses none; the
	// standard rule knows that.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	return &client{base: base, as: as, token: token, http: &http.Client{Transport: transport}}
}

// close ends the connections that are kept for later.
func (c *client) close() { c.http.CloseIdleConnections() }

// guessURL finds the weir that belongs to a directory.
func (m *Main) guessURL(dir string) string {
	text, err := os.ReadFile(filepath.Join(m.path(dir), ".weir", "url"))
	if noted := strings.TrimSpace(string(text)); err == nil && strings.HasPrefix(noted, "http://") {
		return noted
	}
	listen := config.Default().Server.Listen
	if p, err := m.openProject(dir); err == nil {
		listen = p.config.Server.Listen
	}
	name, port, err := net.SplitHostPort(listen)
	if err != nil || name == "" || name == "0.0.0.0" || name == "::" {
		name = "127.0.0.1"
	}
	if port == "" {
		port = "8090"
	}
	return "http://" + net.JoinHostPort(name, port)
}

// request makes a request for a path of weir. Arguments go into the query, or
// into body when that is not nil.
func (c *client) request(ctx context.Context, path string, params url.Values, body []byte) (*http.Request, error) {
	all := url.Values{}
	for name, values := range params {
		all[name] = values
	}
	if c.as != "" {
		all.Set("as", c.as)
	}
	target := c.base + path
	if len(all) > 0 {
		target += "?" + all.Encode()
	}
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, reader = http.MethodPost, bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// maxAnswer bounds what is read of an answer that is no stream.
const maxAnswer = 64 << 20

// do sends a request and returns the answer's body, or the problem in it.
func (c *client) do(r *http.Request) ([]byte, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, problemOf(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w: try again", err)
	}
	return body, nil
}

// unreachable says that nobody answers.
func (c *client) unreachable(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: start weir dev, or name the address with --url", c.base)
	}
	return fmt.Errorf("%s does not answer: %s: check --url", c.base, cause(err))
}

// problemError is what the server answered instead of a result.
type problemError struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// Error returns the code and the server's sentence.
func (e *problemError) Error() string {
	text := oneLine(e.Message)
	if e.Status == http.StatusUnauthorized {
		text += " (--as NAME under weir dev, else --token)"
	}
	return oneLine(e.Code) + ": " + text
}

func problemOf(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	e := &problemError{Status: resp.StatusCode}
	if json.Unmarshal(body, e) != nil || e.Code == "" {
		return fmt.Errorf("the answer is %s and no word of weir: check --url", resp.Status)
	}
	e.Status = resp.StatusCode
	return e
}

// assignments reads arguments of the form name=value.
func assignments(args []string) (url.Values, error) {
	params := url.Values{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case !ok || name == "":
			return nil, usagef("argument %q is not name=value: write for example room=1", arg)
		case params.Has(name):
			return nil, usagef("argument %s is given twice: give it once", name)
		}
		params.Set(name, value)
	}
	return params, nil
}

// objectArgs checks the JSON of --args.
func objectArgs(text string, rest []string) ([]byte, error) {
	if len(rest) > 0 {
		return nil, usagef("--args and name=value are two ways to give arguments: use one")
	}
	v, err := abi.ParseJSON([]byte(text), abi.MaxDepth)
	if err != nil {
		return nil, usagef("--args is not JSON: %v", err)
	}
	if v.Type() != abi.TypeMap {
		return nil, usagef("--args is no object: write for example '{\"room\": 1}'")
	}
	return []byte(text), nil
}

// described is a function as GET /v1/schema shows it.
type described struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Args struct {
		Properties map[string]struct {
			Type any `json:"type"` // a name, or a list of names
		} `json:"properties"`
	} `json:"args"`
}

// find returns the description of a function.
func (c *client) find(ctx context.Context, name string) (*described, error) {
	r, err := c.request(ctx, "/v1/schema", nil, nil)
	if err != nil {
		return nil, err
	}
	body, err := c.do(r)
	if err != nil {
		return nil, err
	}
	var doc struct{ Functions []described }
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("the description of the functions cannot be read: %w: is %s a weir of this version?", err, c.base)
	}
	names := make([]string, 0, len(doc.Functions))
	for i := range doc.Functions {
		if doc.Functions[i].Name == name {
			return &doc.Functions[i], nil
		}
		names = append(names, doc.Functions[i].Name)
	}
	next := "there are " + strings.Join(names, ", ")
	switch len(names) {
	case 0:
		next = "there is none: weir plugins says what is wrong"
	case 1:
		next = "there is only " + names[0]
	}
	if near := abi.Nearest(name, names); near != "" {
		next = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, fmt.Errorf("there is no function %q: %s", name, next)
}

// json turns name=value into a JSON object by the types of the arguments. What
// has no type there is sent as text; the server says what is wrong with it.
func (d *described) json(params url.Values) []byte {
	names := make([]string, 0, len(params))
	values := make([]abi.Value, 0, len(params))
	for name := range params {
		names = append(names, name)
		values = append(values, d.value(name, params.Get(name)))
	}
	return abi.Map(names, values).AppendJSON(nil)
}

func (d *described) value(name, text string) abi.Value {
	property, known := d.Args.Properties[name]
	kinds := fmt.Sprint(property.Type) // "integer" or "[integer null]"
	if known && strings.Contains(kinds, "string") {
		return abi.Text(text)
	}
	if v, err := abi.ParseJSON([]byte(text), abi.MaxDepth); err == nil {
		return v
	}
	return abi.Text(text)
}
