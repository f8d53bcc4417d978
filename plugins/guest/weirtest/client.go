package weirtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// Client is one user of a Server.
type Client struct {
	s     *Server
	user  string
	token string // "" for a user by name
}

// As returns a client that is this user: its token has the claim sub and no other.
// The empty name is somebody who is not signed in.
func (s *Server) As(user string) *Client { return &Client{s: s, user: user} }

// AsClaims returns a client whose token has these claims, by the names that the
// plugin knows them by, as [auth] claims in weir.toml maps them. sub is required, and
// a token ends in an hour unless exp says otherwise.
//
//	admin := w.AsClaims(map[string]any{"sub": "ann", "roles": []string{"admin"}, "org": 7})
//
// A claim that weir.toml does not name fails the test.
func (s *Server) AsClaims(claims map[string]any) *Client {
	s.t.Helper()
	if claims == nil {
		claims = map[string]any{} // to be refused for its sub
	}
	answer, err := s.asked(map[string]any{"claims": claims})
	if err == nil && answer.Token == "" {
		err = errors.New("weir made no token; is it of the version that made this project?")
	}
	if err != nil {
		s.t.Fatalf("claims %v: %v", claims, err)
	}
	user, _ := claims["sub"].(string)
	return &Client{s: s, user: user, token: answer.Token}
}

// Answer is a result in JSON.
type Answer struct {
	t    testing.TB
	JSON json.RawMessage
}

// Into reads the answer into a value of the plugin's types: a pointer to the row
// type, to a slice of it, or to whatever the function returns.
func (a Answer) Into(into any) {
	a.t.Helper()
	if err := decodeInto(a.JSON, into); err != nil {
		a.t.Fatalf("%s: %v", a.JSON, err)
	}
}

// Call calls a mutation, or a query once, and returns its result. Arguments are the
// plugin's struct, whose claims are left out because no client can set them, a map,
// or nil. A refusal fails the test.
func (c *Client) Call(name string, args any) Answer {
	c.s.t.Helper()
	answer, refusal, err := c.call(name, args)
	if err != nil {
		c.s.t.Fatal(err)
	}
	if refusal != nil {
		c.s.t.Fatalf("%s as %s is refused: %s: %s", name, c, refusal.Code, refusal.Message)
	}
	return answer
}

// WantRefused calls, and wants to be refused with this code: "denied", or the one
// that the plugin's Fail names.
func (c *Client) WantRefused(name string, args any, code string) {
	c.s.t.Helper()
	answer, refusal, err := c.call(name, args)
	switch {
	case err != nil:
		c.s.t.Fatal(err)
	case refusal == nil:
		c.s.t.Errorf("%s as %s is not refused, want %s: it returned %s", name, c, code, answer.JSON)
	case refusal.Code != code:
		c.s.t.Errorf("%s as %s is refused with %s (%s), want %s", name, c, refusal.Code, refusal.Message, code)
	}
}

// String names the user.
func (c *Client) String() string {
	if c.user == "" {
		return "nobody"
	}
	return c.user
}

// problem is what weir answers instead of a result.
type problem struct{ Code, Message string }

func (c *Client) call(name string, args any) (Answer, *problem, error) {
	body, err := encodeArgs(args)
	if err != nil {
		return Answer{}, nil, fmt.Errorf("the arguments of %s: %w", name, err)
	}
	// Which of the two it is, only weir knows; it answers "unknown_function" for
	// the other kind.
	var last *problem
	for _, path := range []string{"/v1/call/", "/v1/q/"} {
		text, refusal, err := c.post(path+url.PathEscape(name), body)
		switch {
		case err != nil:
			return Answer{}, nil, err
		case refusal == nil:
			return Answer{c.s.t, content(text)}, nil, nil
		case last == nil || refusal.Code != "unknown_function":
			last = refusal
		}
		if refusal.Code != "unknown_function" {
			break
		}
	}
	return Answer{}, last, nil
}

func (c *Client) request(path string, body []byte) (*http.Request, error) {
	target := c.s.URL + path
	if c.token == "" && c.user != "" {
		target += "?as=" + url.QueryEscape(c.user)
	}
	r, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

func (c *Client) post(path string, body []byte) ([]byte, *problem, error) {
	r, err := c.request(path, body)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := c.s.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	return answered(resp)
}

// answered reads an answer that is no stream.
func answered(resp *http.Response) ([]byte, *problem, error) {
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode < 300 {
		return text, nil, nil
	}
	var p problem
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return nil, nil, fmt.Errorf("weir answers %s: %s", resp.Status, text)
	}
	return nil, &p, nil
}

// content is the result inside an answer or a frame.
func content(text []byte) json.RawMessage {
	var frame struct{ Result, Rows, Value json.RawMessage }
	if json.Unmarshal(text, &frame) != nil {
		return text
	}
	for _, part := range []json.RawMessage{frame.Result, frame.Rows, frame.Value} {
		if part != nil {
			return part
		}
	}
	return json.RawMessage("null")
}
