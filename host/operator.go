package host

import (
	"cmp"
	"context"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/abi"
	"weir/host/config"
	"weir/host/plugin"
	"weir/host/serve"
	"weir/reactor"
)

// operator answers what operators ask. It implements serve.Operator.
type operator struct{ host *Host }

var _ serve.Operator = (*operator)(nil)

// overview is the state of the whole server, for the console and weir top.
type overview struct {
	Version    string            `json:"version"`
	Dev        bool              `json:"dev"`
	UpMS       Millis            `json:"up_ms"`
	Conditions []serve.Condition `json:"conditions"`
	Log        logOverview       `json:"log"`
	Reactor    reactorOverview   `json:"reactor"`
	Streams    streamOverview    `json:"streams"`
	Database   databaseOverview  `json:"database"`
	Tenants    []tenantOverview  `json:"tenants"`
}

type logOverview struct {
	Healthy     bool     `json:"healthy"`
	AgeMS       Millis   `json:"age_ms"`
	Error       string   `json:"error,omitempty"`
	Bytes       int64    `json:"bytes"`
	Cursor      string   `json:"cursor"`
	Uncaptured  []string `json:"uncaptured,omitempty"`
	Tables      []string `json:"tables"` // that are captured
	Reads       int64    `json:"reads"`
	Changes     int64    `json:"changes"`
	Resyncs     int64    `json:"resyncs"`
	Reconnects  int64    `json:"reconnects"`
	RotationHas string   `json:"rotation_held,omitempty"`
}

type reactorOverview struct {
	Groups        int    `json:"groups"`
	Subscriptions int    `json:"subscriptions"`
	Running       int    `json:"running"`
	Waiting       int    `json:"waiting"`
	OldestMS      Millis `json:"oldest_dirty_ms"`
	Behind        bool   `json:"behind"`
	Batches       uint64 `json:"batches"`
	Changes       uint64 `json:"changes"`
	Executions    uint64 `json:"executions"`
	Same          uint64 `json:"same"`
	Failed        uint64 `json:"failed"`
	Decisions     uint64 `json:"decisions"`
}

type streamOverview struct {
	Sessions      int               `json:"sessions"`
	Subscriptions int               `json:"subscriptions"`
	Frames        uint64            `json:"frames"`
	FrameBytes    uint64            `json:"frame_bytes"`
	PinnedBytes   int64             `json:"pinned_bytes"`
	Draining      bool              `json:"draining"`
	Closes        map[string]uint64 `json:"closes"`
	Problems      map[string]uint64 `json:"problems"`
}

type databaseOverview struct {
	InUse    int    `json:"in_use"`
	Idle     int    `json:"idle"`
	Waves    uint64 `json:"waves"`
	Failures uint64 `json:"failures"`
}

type tenantOverview struct {
	Name          string            `json:"name"`
	Trust         string            `json:"trust"`
	Schema        string            `json:"schema"`
	Weight        int               `json:"weight"`
	Groups        int               `json:"groups"`
	Subscriptions int               `json:"subscriptions"`
	Waiting       int               `json:"waiting"`
	Connections   int               `json:"connections"`
	Executions    uint64            `json:"executions"`
	SpentMS       Millis            `json:"spent_ms"`
	Reached       map[string]uint64 `json:"reached"` // how often, by limit
	Limits        []limitOverview   `json:"limits"`
	Plugins       []pluginOverview  `json:"plugins"`
	Errors        []pluginError     `json:"errors"`
}

type limitOverview struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type pluginOverview struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	File      string `json:"file,omitempty"`
	Functions int    `json:"functions"`
	Stopped   bool   `json:"stopped"`
	Refused   uint64 `json:"refused"`
	Instances int    `json:"instances"`
	Calls     uint64 `json:"calls"`
	Dropped   uint64 `json:"dropped"`
	Idle      int    `json:"idle"`
	IdleBytes int64  `json:"idle_bytes"`
	Reset     string `json:"reset"` // how an instance is made what it was: scan, keep, discard, copy or none
	Resets    uint64 `json:"resets"`
	Regrown   uint64 `json:"regrown"`
}

type pluginError struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// Overview implements serve.Operator.
func (o *operator) Overview() any {
	h := o.host
	v := overview{
		Version: h.cfg.Version, Dev: h.cfg.Dev, UpMS: millisOf(time.Since(h.began)), Conditions: h.conditions(),
		Log: h.logOverview(), Tenants: []tenantOverview{},
	}
	s := h.reactor.Stats()
	v.Reactor = reactorOverview{
		Groups: s.Groups, Subscriptions: s.Subscriptions, Running: s.Running, Waiting: s.Waiting, OldestMS: millisOf(s.OldestDirty),
		Behind: s.Behind, Batches: s.Batches, Changes: s.Changes, Executions: s.Executions, Same: s.Same, Failed: s.Failed, Decisions: s.Decisions,
	}
	st := h.server.Stats()
	v.Streams = streamOverview{
		Sessions: st.Sessions, Subscriptions: st.Subscriptions, Frames: st.Frames, FrameBytes: st.FrameBytes,
		PinnedBytes: st.PinnedBytes, Draining: st.Draining, Closes: st.Closes, Problems: st.Problems,
	}
	d := h.databaseStats()
	v.Database = databaseOverview{InUse: d.InUse, Idle: d.Idle, Waves: d.Waves, Failures: d.Failures}
	figures := h.tenantStats()
	for name, space := range h.spaces() {
		v.Tenants = append(v.Tenants, tenantOverview{
			Name: name, Trust: string(space.tenant.Trust), Schema: space.tenant.Schema, Weight: space.tenant.Share(),
			Groups: figures.Groups[name], Subscriptions: figures.Subscriptions[name], Waiting: figures.Waiting[name],
			Connections: figures.Connections[name], Executions: figures.Executions[name], SpentMS: millisOf(figures.Spent[name]),
			Reached: figures.Limits[name], Limits: limitsTold(config.Limits(space.tenant.Limits.WithDefaults())),
			Plugins: pluginsTold(space.plugins), Errors: errorsTold(space.plugins),
		})
	}
	slices.SortFunc(v.Tenants, func(a, b tenantOverview) int { return cmp.Compare(a.Name, b.Name) })
	return v
}

func (h *Host) logOverview() logOverview {
	s := h.log.Stats()
	v := logOverview{
		Healthy: s.Healthy, Bytes: s.LogBytes, Cursor: s.Cursor.String(), Uncaptured: sortedValues(s.Uncaptured), Tables: []string{},
		Reads: s.Reads, Changes: s.Changes, Resyncs: s.Resyncs, Reconnects: s.Reconnects, RotationHas: s.RotationHeld,
	}
	if !s.LastRead.IsZero() {
		v.AgeMS = millisOf(time.Since(s.LastRead))
	}
	if s.Err != nil {
		v.Error = s.Err.Error()
	}
	for _, t := range h.capture.Tables() {
		v.Tables = append(v.Tables, strings.TrimPrefix(t.Name, "public."))
	}
	slices.Sort(v.Tables)
	return v
}

// limitsTold lists the limits by their keys in weir.toml.
func limitsTold(l config.Limits) (list []limitOverview) {
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("toml")
		value := ""
		switch n := v.Field(i).Interface().(type) {
		case time.Duration:
			value = n.String()
		default:
			b, err := json.Marshal(n)
			if err != nil {
				continue
			}
			value = string(b)
		}
		list = append(list, limitOverview{Name: name, Value: value})
	}
	return list
}

func pluginsTold(set *plugin.Set) []pluginOverview {
	list := []pluginOverview{}
	for _, p := range set.All() {
		s := p.Stats()
		stopped, refused := p.Stopped()
		list = append(list, pluginOverview{
			Name: p.Name(), Version: p.Version(), File: filepath.Base(p.Path), Functions: len(p.Functions()),
			Stopped: stopped, Refused: refused, Instances: s.Instances, Calls: uint64(s.Calls), Dropped: uint64(s.Dropped),
			Idle: s.Idle, IdleBytes: s.IdleBytes, Reset: s.Reset, Resets: uint64(s.Resets), Regrown: uint64(s.Regrown),
		})
	}
	return list
}

func errorsTold(set *plugin.Set) []pluginError {
	list := []pluginError{}
	for path, err := range set.Errors() {
		list = append(list, pluginError{filepath.Base(path), err.Error()})
	}
	slices.SortFunc(list, func(a, b pluginError) int { return cmp.Compare(a.File, b.File) })
	return list
}

// functionOverview is one function, with what its runs have cost.
type functionOverview struct {
	Tenant   string          `json:"tenant"`
	Plugin   string          `json:"plugin"`
	Version  string          `json:"version"`
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Schema   json.RawMessage `json:"schema"` // as /v1/schema has it
	Key      []string        `json:"key"`    // what makes two callers' results two
	Runs     uint64          `json:"runs"`
	Same     uint64          `json:"same"`
	Failed   uint64          `json:"failed"`
	SpentMS  Millis          `json:"spent_ms"`
	SlowMS   Millis          `json:"slowest_ms"`
	Error    string          `json:"error,omitempty"` // the newest
	ErrorAgo Millis          `json:"error_ago_ms,omitempty"`
}

// Functions implements serve.Operator.
func (o *operator) Functions() any {
	list := []functionOverview{}
	for name, s := range o.host.spaces() {
		plugins := s.plugins.All()
		if b := s.plugins.Builtin(); b != nil {
			plugins = append(plugins, b)
		}
		for _, p := range plugins {
			for _, f := range p.Functions() {
				v := functionOverview{
					Tenant: name, Plugin: p.Name(), Version: p.Version(), Name: f.Name, Kind: string(f.Kind),
					Schema: appendFunction(nil, f), Key: keyParts(f),
				}
				o.host.costs.fill(&v)
				list = append(list, v)
			}
		}
	}
	slices.SortFunc(list, func(a, b functionOverview) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// keyParts names what a function sees of its caller.
func keyParts(f *plugin.Function) []string {
	parts := []string{}
	for _, field := range f.Fields {
		parts = append(parts, field.Name)
	}
	for _, c := range f.Claims {
		parts = append(parts, c.Name+" (claim "+c.Claim+")")
	}
	for _, field := range f.Scope {
		parts = append(parts, field.Name+" (scope)")
	}
	return parts
}

// groupOverview is one live result, or decision.
type groupOverview struct {
	Tenant   string `json:"tenant"`
	Function string `json:"function"`
	Args     string `json:"args"`             // as JSON, cut
	Hidden   int    `json:"hidden,omitempty"` // claims and scope that are in the key, and are not told
	Group    string `json:"group"`
	Policy   bool   `json:"policy"`
	Answer   string `json:"answer,omitempty"`
	Watchers int    `json:"watchers"`
	State    string `json:"state"`
	Error    string `json:"error,omitempty"`
	Runs     int    `json:"runs"`
	CostMS   Millis `json:"cost_ms"` // of one run, lately
	SpentMS  Millis `json:"spent_ms"`
	Bytes    int    `json:"bytes"`
	Atoms    int    `json:"atoms"`
	Failures int    `json:"failures"`
	AgoMS    Millis `json:"ran_ago_ms"`
}

// maxArgsTold bounds how much of the arguments a list shows.
const maxArgsTold = 120

// Groups implements serve.Operator.
func (o *operator) Groups(ctx context.Context, q serve.GroupsQuery) (any, error) {
	groups, err := o.host.reactor.Groups(ctx, q.Tenant, q.By, q.Limit)
	list := []groupOverview{}
	now := time.Now()
	for i := range groups {
		g := &groups[i]
		v := groupOverview{
			Tenant: g.Tenant, Function: g.Name, Group: g.Query, Policy: g.Policy, Watchers: g.Subscriptions, State: groupState(g),
			Runs: g.Runs, CostMS: millisOf(g.Cost), SpentMS: millisOf(g.Spent), Bytes: g.Size, Atoms: g.Atoms, Failures: g.Failures,
		}
		if g.Policy {
			v.Answer = g.Answer.String()
		}
		if g.Err != nil {
			v.Error = g.Err.Error()
		}
		if !g.RanAt.IsZero() {
			v.AgoMS = millisOf(now.Sub(g.RanAt))
		}
		if c, ok := g.Call.(*call); ok {
			v.Args, v.Hidden = argsTold(c)
		}
		list = append(list, v)
	}
	return list, err
}

func groupState(g *reactor.GroupReport) string {
	switch {
	case g.Failures > 0:
		return "failing"
	case g.Running:
		return "running"
	case g.Dirty:
		return "queued"
	case !g.Answered:
		return "new"
	}
	return g.Status.String()
}

// argsTold shows the arguments of a call. Claims and scope are somebody's own.
func argsTold(c *call) (text string, hidden int) {
	n := min(len(c.fn.Fields), len(c.input.Values))
	if c.decides() {
		return "", len(c.input.Values) // what a policy sees is the caller
	}
	names := make([]string, n)
	for i := range n {
		names[i] = c.fn.Fields[i].Name
	}
	text = string(abi.Map(names, c.input.Values[:n]).AppendJSON(nil))
	if len(text) > maxArgsTold {
		text = strings.ToValidUTF8(text[:maxArgsTold], "") + "…"
	}
	return text, len(c.input.Values) - n
}

// Runs implements serve.Operator.
func (o *operator) Runs(ctx context.Context, tenantName string, limit int) (any, error) {
	runs, err := o.host.reactor.Runs(ctx, tenantName, limit)
	list := []WhyRun{}
	t := o.host.teller(o.host.explained())
	for i := range runs {
		r := t.run(&runs[i])
		r.Function, r.Group, r.Tenant = runs[i].Name, runs[i].Query, runs[i].Tenant
		list = append(list, r)
	}
	return list, err
}

// Why implements serve.Operator.
func (o *operator) Why(ctx context.Context, q serve.WhyQuery) (any, error) { return o.host.Why(ctx, q) }

// Explain implements serve.Operator.
func (o *operator) Explain(name, of string) (string, error) {
	s, err := o.host.asked(of)
	if err != nil {
		return "", err
	}
	return explainIn(s, name)
}

// functionCosts sums up what functions cost since the start.
type functionCosts struct {
	mu    sync.Mutex // protects the field below
	costs map[functionName]*functionCost
}

type functionName struct{ tenant, name string }

type functionCost struct {
	runs, same, failed uint64
	spent, slowest     time.Duration
	err                error
	at                 time.Time // of err
}

// maxCosts bounds the functions that are summed up: names come from plugins.
const maxCosts = 4096

func (f *functionCosts) add(run *reactor.Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := functionName{run.Tenant, run.Name}
	c := f.costs[name]
	if c == nil {
		if f.costs == nil || len(f.costs) >= maxCosts {
			f.costs = map[functionName]*functionCost{}
		}
		c = &functionCost{}
		f.costs[name] = c
	}
	c.runs++
	c.spent += run.Cost
	c.slowest = max(c.slowest, run.Cost)
	switch {
	case run.Err != nil:
		c.failed++
		c.err, c.at = run.Err, time.Now()
	case run.Same:
		c.same++
	}
}

func (f *functionCosts) fill(v *functionOverview) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.costs[functionName{v.Tenant, v.Name}]
	if c == nil {
		return
	}
	v.Runs, v.Same, v.Failed, v.SpentMS, v.SlowMS = c.runs, c.same, c.failed, millisOf(c.spent), millisOf(c.slowest)
	if c.err != nil {
		v.Error, v.ErrorAgo = c.err.Error(), millisOf(time.Since(c.at))
	}
}
