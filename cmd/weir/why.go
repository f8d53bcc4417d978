package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
)

// adminFlags are those of commands that ask the operators' listener.
type adminFlags struct{ admin, dir string }

func (f *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.admin, "admin", "", "the admin listener (default: $WEIR_ADMIN, that of the weir dev of this directory, or admin.listen)")
	cmd.Flags().StringVar(&f.dir, "dir", ".", "the project's directory")
}

// adminClient talks to the operators' listener.
func (m *Main) adminClient(f adminFlags) (*client, error) {
	base := f.admin
	if base == "" {
		base = m.Getenv("WEIR_ADMIN")
	}
	if base == "" {
		base = m.guessAdmin(f.dir)
	}
	socket, isSocket := strings.CutPrefix(base, "unix:")
	if isSocket {
		base = "http://localhost"
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("--admin %q is no address: write http://host:port, or unix:PATH", base)
	}
	c := newClient(strings.TrimSuffix(base, "/"), "", "")
	if isSocket {
		c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", m.path(socket))
		}}
	}
	return c, nil
}

// adminJSON asks for one answer. A token goes into a header.
func (c *client) adminJSON(ctx context.Context, path string, params url.Values, token string, into any) error {
	target := c.base + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("the admin listener at %s does not answer: %s: check --admin", c.base, cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w: try again", err)
	case resp.StatusCode != http.StatusOK:
		var said problemError
		if json.Unmarshal(body, &said) != nil || said.Message == "" {
			return fmt.Errorf("%s answers %s: is it the admin listener of a weir of this version?", c.base, resp.Status)
		}
		return &said
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w: is it a weir of this version?", c.base, err)
	}
	return nil
}

func (m *Main) whyCommand() *cobra.Command {
	var flags adminFlags
	var as, token, args, tenant string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why NAME [name=value …]",
		Short: "Say why a live result did or did not change",
		Long: "Ask a running weir about one live result: who watches it, what it read, what became of\n" +
			"each recent change of these tables, and whether changes are captured at all. Nothing runs\n" +
			"for it. It asks the admin listener, which is not for clients.",
		Example: "  weir why messages.list room=1 --as ann",
		Args:    nameFirst,
		RunE: func(cmd *cobra.Command, rest []string) error {
			params, err := assignments(rest[1:])
			if err == nil && args != "" {
				var body []byte
				if body, err = objectArgs(args, rest[1:]); err == nil {
					params = url.Values{"args": {string(body)}}
				}
			}
			if err != nil {
				return err
			}
			if as != "" {
				params.Set("as", as)
			}
			c, err := m.adminClient(flags)
			if err != nil {
				return err
			}
			defer c.close()
			path := "/why/" + url.PathEscape(rest[0])
			if tenant != "" {
				path = "/t/" + url.PathEscape(tenant) + path
			}
			if asJSON {
				var raw json.RawMessage
				if err := c.adminJSON(cmd.Context(), path, params, token, &raw); err != nil {
					return err
				}
				_, err = fmt.Fprintf(m.Stdout, "%s\n", plainJSON(raw))
				return err
			}
			var w host.Why
			if err := c.adminJSON(cmd.Context(), path, params, token, &w); err != nil {
				return err
			}
			_, err = io.WriteString(m.Stdout, whyText(&w))
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&as, "as", "", "as this user would see it, with no claims but sub")
	cmd.Flags().StringVar(&token, "token", "", "as the owner of this token would see it")
	cmd.Flags().StringVar(&args, "args", "", "the arguments as a JSON object, instead of name=value")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant, if there are several")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

// whyText is the answer for a terminal: the story, then what it rests on.
func whyText(w *host.Why) string {
	var b strings.Builder
	head := w.Function
	if w.Caller != "" {
		head += " for " + w.Caller
	}
	fmt.Fprintf(&b, "%s: %s\n", oneLine(head), w.State)
	for _, s := range w.Story {
		fmt.Fprintf(&b, "  %s\n", oneLine(s))
	}
	section := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	if w.Group != "" {
		section("watchers", "%d, %s", w.Watchers, counted(w.Runs, "run"))
	}
	if w.Version != "" {
		section("version", "%s, %s, as of %s", w.Version, size(int64(w.Bytes)), w.Snapshot)
	}
	for _, p := range w.Policies {
		section("policy", "%s: %s  %s", p.Name, p.Answer, p.Text)
	}
	for _, r := range w.Reads {
		text := r.Text
		if r.Policy != "" {
			text += "  (" + r.Policy + ")"
		}
		section("reads", "%s", text)
	}
	name := "changes"
	for _, c := range w.Changes {
		section(name, "%s  %s %s (tx %d)  %s", ago(c.AgoMS), c.Op, c.Table, c.Tx, c.Text)
		name = ""
	}
	name = "runs"
	for _, p := range w.Past[:min(len(w.Past), 5)] {
		section(name, "%s  %s  %s  %s", ago(p.AgoMS), p.Cause, millis(duration(p.CostMS)), p.Text)
		name = ""
	}
	section("capture", "%s", w.Capture.Text)
	return b.String()
}

func duration(ms host.Millis) time.Duration {
	return time.Duration(float64(ms) * float64(time.Millisecond))
}

// ago is an age for people, in one unit.
func ago(ms host.Millis) string {
	d := duration(ms)
	switch {
	case d < time.Second:
		return millis(d) + " ago"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s ago", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min ago", d.Minutes())
	}
	return fmt.Sprintf("%.0f h ago", d.Hours())
}
