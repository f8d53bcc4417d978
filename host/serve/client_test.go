package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// node returns the program that runs the client's tests. Without it they are not
// run, and that is said where nobody misses it.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no node. Install Node.js 20 or newer: weir.js is untested. ***\n\n")
		t.Skip("node is not installed: weir.js is untested")
	}
	return path
}

// The client's own tests: its parser at every byte split, and its rules against a
// server that does what the test says.
func TestClientKeepsItsRules(t *testing.T) {
	t.Parallel()
	path := node(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--test", "client/_test/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
	if _, err := os.Stat("client/_test/node_modules/react"); err != nil {
		_, _ = os.Stderr.WriteString("\n*** weir.js/react WAS NOT TESTED: there is no React. Run .ci/deps client. ***\n\n")
	}
	if !strings.Contains(string(out), "pass ") || strings.Contains(string(out), "pass 0\n") {
		t.Fatalf("node ran no tests:\n%s", out)
	}
}

// The client and this server speak the same protocol: result, change, failure,
// denial, drain and resume.
func TestClientSpeaksTheServersProtocol(t *testing.T) {
	t.Parallel()
	path := node(t)
	f := newFixture(t, oneToken)
	f.backend.mutation = func(who *auth.Caller, name string, _ Arguments) (Answer, error) {
		if who.Principal.Subject != "ann" || name != "messages.post" {
			t.Errorf("%s called %s", who.Principal.Subject, name)
		}
		return Answer{Result: json.RawMessage(`{"id":5}`), Tx: reactor.TxStamp("e", 7)}, nil
	}
	say, expect := follow(t, path, f.url)

	expect(`{"status":"connecting"}`)
	expect(`{"status":"live","ids":[0]}`)
	f.backend.set("messages.list", rows(1))
	expect(`{"status":"live","ids":[1]}`)
	say("call")
	expect(`{"result":{"id":5}}`)
	say("get")
	expect(`{"rows":[{"id":1}]}`)
	f.backend.fail("messages.list", &Refusal{Kind: abi.Deadline})
	expect(`{"status":"stale","ids":[1],"code":"deadline"}`)
	f.backend.set("messages.list", rows(2))
	expect(`{"status":"live","ids":[2]}`)

	// The stream ends; the client comes back with what it holds and is told that
	// nothing has changed.
	for _, s := range f.server.sessions.all() {
		s.end(abi.Draining, 10)
	}
	expect(`{"status":"stale","ids":[2],"code":"drain"}`)
	expect(`{"status":"live","ids":[2]}`)
	f.backend.set("messages.list", rows(3))
	expect(`{"status":"live","ids":[3]}`)

	f.backend.deny("messages.list", true)
	f.server.Moved(tenant.DefaultName, func(string) bool { return true })
	expect(`{"status":"denied","code":"denied","reason":"not_a_member"}`)
	f.backend.deny("messages.list", false)
	f.server.Moved(tenant.DefaultName, func(string) bool { return true })
	expect(`{"status":"live","ids":[3]}`)
}

// oneToken makes "token" ann's token, and no other one good.
func oneToken(c *Config) {
	c.Verify = func(_ context.Context, of *tenant.Tenant, token string) (*auth.Caller, error) {
		if token != "token" {
			return nil, auth.ErrUnauthenticated
		}
		return &auth.Caller{Principal: auth.Principal{Tenant: of.Name, Issuer: "test", Subject: "ann"}, Expires: time.Now().Add(time.Hour)}, nil
	}
}

// What live policies say reaches the page: no rows while they deny or another
// scope is on its way, the old ones while nobody can decide.
func TestClientFollowsLivePolicies(t *testing.T) {
	t.Parallel()
	path := node(t)
	f := newFixture(t, oneToken)
	f.backend.decide("messages.list", nil)
	_, expect := follow(t, path, f.url)
	expect(`{"status":"connecting"}`)
	expect(`{"status":"stale","code":"internal"}`)
	f.backend.decide("messages.list", deny)
	expect(`{"status":"denied","code":"denied","reason":"not_a_member"}`)
	f.backend.decide("messages.list", scoped("acme"))
	expect(`{"status":"live","ids":[0]}`)
	f.backend.set("messages.list", rows(1))
	expect(`{"status":"live","ids":[1]}`)
	f.backend.decide("messages.list", nil)
	expect(`{"status":"stale","ids":[1],"code":"internal"}`)
	f.backend.decide("messages.list", scoped("acme"))
	expect(`{"status":"live","ids":[1]}`)
	// The page is dark until the rows of the new scope are there.
	gate := make(chan struct{})
	f.backend.mu.Lock()
	f.backend.gate = gate
	f.backend.mu.Unlock()
	f.backend.decide("messages.list", scoped("evil"))
	expect(`{"status":"denied","code":"denied","reason":"scope_changed"}`)
	close(gate)
	expect(`{"status":"live","ids":[1]}`)

	// The connection breaks while access is denied: the page shows nothing of
	// before, and what comes back is whole.
	f.backend.decide("messages.list", deny)
	expect(`{"status":"denied","code":"denied","reason":"not_a_member"}`)
	for _, s := range f.server.sessions.all() {
		s.end(abi.Draining, 10)
	}
	eventually(t, "another stream", func() bool { return f.server.Stats().Streams == 2 })
	f.backend.decide("messages.list", scoped("acme"))
	expect(`{"status":"live","ids":[1]}`)
}

// follow starts a client that prints its states.
func follow(t *testing.T, path, url string) (say func(string), expect func(string)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, path, "client/_test/follow.mjs")
	cmd.Env = append(os.Environ(), "WEIR_URL="+url, "WEIR_TOKEN=token")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = in.Close()
		for lines.Scan() {
			t.Errorf("the client went on to say %s", lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
		cancel()
	})
	say = func(line string) {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	expect = func(want string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the client ended, want %s", want)
		}
		if lines.Text() != want {
			t.Fatalf("the client says %s, want %s", lines.Text(), want)
		}
	}
	return say, expect
}
