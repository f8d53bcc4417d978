package host_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// numbered assembles version n of a plugin: a query that the guest computes, one
// that it looks at rows for, behind a policy that is a guest, and a mutation.
func numbered(n int) []byte {
	yes := abi.AppendDecision(nil, &abi.Decision{Allow: true})
	value := abi.Int(int64(n)).AppendCBOR(nil)
	guarded := abi.Access{Policies: []string{"anybody"}}
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: fmt.Sprintf(`select id, title, %d as version from todos order by id`, n)}},
		Functions: []abi.Function{
			{Name: "version", Kind: abi.Query, Access: guarded},
			{Name: "todos.all", Kind: abi.Query, Access: guarded, Uses: []int{0}},
			{Name: "touch", Kind: abi.Mutation, Access: guarded},
			{Name: "anybody", Kind: abi.Policy},
		},
	}
	answer := wasmtest.Pack(abi.TagValue, wasmtest.DataAt+uint32(len(value)), uint32(len(yes)))
	return guest("numbered", m, append(value, yes...),
		constant(len(value)), wasmtest.Join(pose(0), look(), rows()), constant(len(value)), answer)
}

// TestPluginSwapsUnderLoad: P4, W9. Requests that run while a plugin is replaced
// are answered by one version or another; streams end at the newest.
// Cases: 87, 111.
func TestPluginSwapsUnderLoad(t *testing.T) {
	t.Parallel()
	const versions = 6
	loaded := make(chan struct{}, 64)
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"n.wasm": numbered(1)},
		Event: func(e host.Event) {
			if e.Kind == host.PluginLoaded {
				loaded <- struct{}{}
			}
		},
	})
	<-loaded
	var streams []*stream
	for range 10 {
		streams = append(streams, watch(t, s.URL+"/v1/q/todos.all"))
	}
	var done atomic.Bool
	var asked atomic.Int64
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for n := i; !done.Load() || asked.Load() < 200; n++ {
				asked.Add(1)
				if err := once(s.URL, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	counters := []string{"weir_plugin_calls_total", "weir_plugin_started_total"}
	for n := 2; n <= versions; n++ {
		before := map[string]float64{}
		for _, name := range counters {
			before[name] = metric(t, s, name)
		}
		s.Write(t, "n.wasm", numbered(n))
		<-loaded
		for _, name := range counters {
			if now := metric(t, s, name); now <= before[name] { // loading alone is a call
				t.Errorf("%s was %v, and %v after a swap", name, before[name], now)
			}
		}
		s.SQL(t, `update todos set title = $1 where id = 1`, fmt.Sprintf("at version %d", n))
	}
	done.Store(true)
	all.Wait()
	for _, stream := range streams {
		for {
			row := stream.result(t).Rows[0]
			if row["version"] == float64(versions) && row["title"] == fmt.Sprintf("at version %d", versions) {
				break
			}
		}
	}
	if _, answer := get(t, s.URL+"/v1/q/version"); answer["value"] != float64(versions) {
		t.Errorf("the newest version is %v", answer)
	}
	t.Logf("%d requests", asked.Load())
}

// once does a request and reports what is no result.
func once(url string, n int) error {
	var resp *http.Response
	var err error
	switch n % 3 {
	case 0:
		resp, err = http.Get(url + "/v1/q/version")
	case 1:
		resp, err = http.Get(url + "/v1/q/todos.all")
	default:
		resp, err = http.Post(url+"/v1/call/touch", "application/json", nil)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("request %d: %s %v", n%3, resp.Status, answer)
	}
	return nil
}
