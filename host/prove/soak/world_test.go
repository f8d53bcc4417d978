package soak

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weir/abi"
	"weir/host"
	"weir/host/auth"
	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor/changelog"
)

// Rooms of the chat. Messages are posted and deleted in those from busyRoom on.
const (
	hotRoom     = 1 // one message, watched by the fleet
	flippedRoom = 2 // from which the witness is taken out
	wideRoom    = 3 // long messages, for clients that do not read
	busyRoom    = 4
	rooms       = 7
)

// The users. The witness stays for the whole run; guests come and go.
const (
	hotUser = "hot"
	witness = "witness"
	guests  = 8
)

func guestName(i int) string { return fmt.Sprintf("guest%d", i%guests) }

// world is the database, the plugins and the configuration of a run.
type world struct {
	db       devdbtest.DB
	file     string // the configuration
	stateDir string
	plugins  string
	secret   []byte
	chat     []byte // the chat's module
	logBytes int64  // limits.log_bytes
	maxConns int    // database.connections
}

// seed fills the rooms and lets everybody into all of them.
const seed = `insert into rooms (name) select 'room ' || i from generate_series(1, %[1]d) i;
	insert into members (room_id, user_id) select r, u from generate_series(1, %[1]d) r,
		(select 'guest' || i from generate_series(0, %[2]d) i union all values ('hot'), ('witness')) as s (u);
	insert into messages (room_id, author, body) values (1, 'hot', 'nothing yet'), (2, 'hot', 'for members');
	insert into messages (room_id, author, body) select 3, 'hot', repeat('x', 2000) from generate_series(1, 60);
	grant usage on schema public to weir, weir_guest;
	grant trigger on all tables in schema public to weir;
	grant select, insert, update, delete on all tables in schema public to weir_guest;
	grant usage on all sequences in schema public to weir_guest`

// newWorld makes all that a server needs. Small runs share compiled code with other
// tests, long ones compile everything.
func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	devdbtest.Template(t, "weir_soak", func(url string) error {
		_, err := changelog.Setup(context.Background(), changelog.SetupConfig{AdminURL: url, Parts: host.Parts()})
		return err
	})
	w := &world{db: devdbtest.New(t, devdbtest.From("weir_soak")), plugins: t.TempDir(), logBytes: p.logBytes, maxConns: 12}
	example := filepath.Join("..", "..", "..", "examples", "chat")
	schema, err := os.ReadFile(filepath.Join(example, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	w.db.Exec(t, string(schema))
	w.db.Exec(t, fmt.Sprintf(seed, rooms, guests-1))
	if w.chat, err = os.ReadFile(hosttest.Build(t, filepath.Join(example, "plugin"))); err != nil {
		t.Fatal(err)
	}
	w.stateDir = t.TempDir()
	if home := wasmtest.CacheHome(); home != "" && p.scale == 1 {
		w.stateDir = filepath.Join(home, "weir")
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	w.secret = []byte(hex.EncodeToString(secret))
	w.write(t, "chat.wasm", w.chat)
	w.write(t, "numbered.wasm", numbered(0))
	w.file = filepath.Join(t.TempDir(), "weir.toml")
	w.configure(t, "")
	return w
}

// configure writes the configuration, which the server follows. require is a line
// of it.
func (w *world) configure(t *testing.T, require string) {
	t.Helper()
	text := fmt.Sprintf(`plugins = %q
%s
[database]
url = %q
guest = %q
connections = %d
[[auth.keys]]
issuer = "soak"
audience = "soak"
hs256 = %q
[limits]
log_bytes = "%d KiB"
recent_age = "1s"
linger = "200ms"
write_timeout = "2s"
guest_timeout = "20s"
query_timeout = "20s"
policy_timeout = "20s"
mutation_timeout = "20s"
compile_timeout = "5m"
principal_sessions = 10000
principal_subscriptions = 100000
`, w.plugins, require, w.db.As("weir", ""), w.db.As("weir_guest", ""), w.maxConns, w.secret, w.logBytes>>10)
	replace(t, w.file, []byte(text))
}

// write deploys a module.
func (w *world) write(t *testing.T, name string, code []byte) {
	t.Helper()
	replace(t, filepath.Join(w.plugins, name), code)
}

// replace writes a file under another name first, as a deployment does.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// token mints a token of a user; a later one expires later.
func (w *world) token(t *testing.T, user string, later int) string {
	t.Helper()
	token, err := auth.Mint(w.secret, map[string]any{
		"iss": "soak", "aud": "soak", "sub": user, "exp": time.Now().Add(3*time.Hour + time.Duration(later)*time.Second).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// retitled is the chat's module with another digest: a custom section more.
func retitled(code []byte, n int) []byte {
	text := fmt.Sprintf("\x04soak%08d", n)
	return append(append(code[:len(code):len(code)], 0, byte(len(text))), text...)
}

// numbered assembles version n of a small plugin: a query that says n, one that
// looks at rows, the policy before both, and one that denies, all computed by the
// guest.
func numbered(n int) []byte {
	value := abi.Int(int64(n)).AppendCBOR(nil)
	yes, no := abi.AppendDecision(nil, &abi.Decision{Allow: true}), abi.AppendDecision(nil, &abi.Decision{})
	guarded := abi.Access{Policies: []string{"anybody"}}
	m := abi.Manifest{
		ABI: abi.Version, Name: "numbered", Version: "1",
		Statements: []abi.Statement{{SQL: fmt.Sprintf(`select user_id, %d as version from members where room_id = %d order by user_id`, n, flippedRoom)}},
		Functions: []abi.Function{
			{Name: "version", Kind: abi.Query, Access: guarded},
			{Name: "people", Kind: abi.Query, Access: guarded, Uses: []int{0}},
			{Name: "anybody", Kind: abi.Policy},
			{Name: "nobody", Kind: abi.Policy},
		},
	}
	const fnQuery, fnRowsLen = 0, 1
	data := slices.Concat(value, yes, no)
	part := func(from, size int) []byte {
		return wasmtest.Pack(abi.TagValue, wasmtest.DataAt+uint32(from), uint32(size))
	}
	people := wasmtest.Join(
		wasmtest.I32(0), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(fnQuery), wasmtest.Put(2),
		wasmtest.Get(2), wasmtest.Invoke(fnRowsLen), wasmtest.Drop(), wasmtest.Get(2), wasmtest.PackHandle())
	call := part(len(value)+len(yes), len(no))
	for i, body := range [][]byte{part(len(value), len(yes)), people, part(0, len(value))} {
		below := wasmtest.Join(wasmtest.Get(0), wasmtest.I32(int32(3-i)), []byte{0x49}) // i32.lt_u
		call = wasmtest.Join(below, wasmtest.If(wasmtest.Join(body, wasmtest.Return())), call)
	}
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Call: call,
		Imports: []wasmtest.Import{wasmtest.Host(abi.ImportQuery, "iii:i"), wasmtest.Host(abi.ImportRowsLen, "i:i")},
		Data:    map[uint32][]byte{wasmtest.DataAt: data},
	}.Bytes()
}
