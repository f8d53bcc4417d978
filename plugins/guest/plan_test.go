package weir

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"weir/abi"
)

var update = flag.Bool("update", false, "rewrite golden files")

type address struct {
	Street string
	Zip    *string
}

type common struct {
	Org string `claim:"org"`
}

// everything has a field of every kind that an input can have.
type everything struct {
	common
	Room    int64  `json:"room" doc:"where"`
	Tiny    int8   `weir:"min=-3"`
	Level   uint16 `weir:"max=9"`
	Ratio   float32
	Exact   float64 `weir:"min=0.5,max=1.5,default=1"`
	Limit   int     `weir:"min=1,max=200,default=50"`
	Live    bool    `weir:"default=true"`
	Name    string  `weir:"minlen=1,maxlen=20"`
	Sort    string  `weir:"enum=new|old,default=new"`
	Ref     string  `weir:"format=uuid"`
	ID      [16]byte
	Blob    []byte
	Doc     JSON
	Day     time.Time `weir:"format=date"`
	SentAt  time.Time
	Author  *string
	Count   *int32
	Tags    []string `weir:"maxlen=5"`
	IDs     []int64  `json:"ids"`
	Home    address
	Others  []address
	Maybe   *address
	Any     abi.Value
	Role    *string  `claim:"role"`
	Groups  []string `claim:"groups"`
	Tenant  int64    `scope:""`
	Shard   int64    `scope:"shard_no"`
	Skipped string   `json:"-"`
	_       int      // what is not exported is no field
}

func TestManifestComesFromTypesAndTags(t *testing.T) {
	t.Parallel()
	type room struct {
		ID      int64
		Name    string
		Members []address
	}
	r := &registry{name: "golden", version: "1.2.3"}
	children := newStatement[struct{ Rooms []int64 }, address](`select street, zip from a where room = any($rooms)`, false, nil)
	r.addStatement(children)
	rooms := newStatement[struct {
		Me string `claim:"sub"`
	}, room](`select id, name from rooms where owner = $me`, false,
		[]StatementOption{Key("id"), func(s *statement) { s.nests = []nest{{"members", "id", children, "room_id"}} }})
	r.addStatement(rooms)
	insert := newStatement[struct{ Name string }, None](`insert into rooms (name) values ($name)`, true, nil)
	r.addStatement(insert)
	guard := newStatement[struct{ Room int64 }, None](`select 1 from rooms where id = $room`, false, nil)
	guard.policy = true
	r.addStatement(guard)

	policy := &Policy{"member"}
	r.addFunction("rooms.list", abi.Query, rooms.body(), []Option{SignedIn(), Doc("Rooms.")})
	r.addFunction("everything", abi.Query, Func(func(*Call, everything) (map[string][]room, error) { return nil, nil }).b, []Option{Require(policy)})
	r.addFunction("rows", abi.Query, Func(func(*Call, struct{}) (Rows[room], error) { return Rows[room]{}, nil }).b, []Option{Public()})
	r.addFunction("add", abi.Mutation, Func(func(*Call, struct{ Room int64 }) (None, error) { return None{}, nil }).b, []Option{Require(policy)})
	r.addFunction("member", abi.Policy, guard.body(), nil)
	r.addFunction("narrow", abi.Mutation, Func(func(*Call, struct{}) (int, error) { return 0, nil }).b,
		[]Option{SignedIn(), func(f *function) { f.usesSet, f.uses = true, []*statement{rooms} }})
	r.addFunction("gate", abi.Policy, newBody[struct {
		Function string `weir:"function"`
		Action   string `weir:"action"`
	}](), nil)

	encoded, err := r.encoded()
	if err != nil {
		t.Fatal(err)
	}
	m, err := abi.DecodeManifest(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if again := abi.AppendManifest(nil, m); !bytes.Equal(again, encoded) {
		t.Error("the manifest does not survive decoding")
	}
	v, err := abi.DecodeCBOR(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, v.AppendJSON(nil), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	const golden = "testdata/manifest.json"
	if *update {
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("the manifest changed; run with -update and review:\n%s", pretty.Bytes())
	}
}

// The order in which init functions run must not show.
func TestManifestDoesNotDependOnOrderOfRegistration(t *testing.T) {
	t.Parallel()
	build := func(names ...string) []byte {
		r := &registry{name: "order", version: "1"}
		for _, name := range names {
			r.addFunction(name, abi.Query, Func(func(*Call, struct{}) (int, error) { return 1, nil }).b, []Option{Public()})
		}
		encoded, err := r.encoded()
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	if !bytes.Equal(build("a", "b", "c"), build("c", "a", "b")) {
		t.Error("two orders give two manifests")
	}
}

func TestMistakesAreToldTogether(t *testing.T) {
	t.Parallel()
	type tree struct{ Children []tree }
	type node struct{ Next *node }
	r := &registry{}
	r.addStatement(newStatement[struct{ Room int64 }, None](`select 1 where a = $rom`, false, nil))
	r.addStatement(newStatement[int, None](`select 1`, false, nil))
	r.addStatement(newStatement[None, struct{ C chan int }](`select 1`, false, nil))
	r.addStatement(newStatement[None, tree](`select 1`, false, nil))
	r.addStatement(newStatement[None, node](`select 1`, false, nil))
	r.addStatement(newStatement[None, None](`select {a`, false, nil))
	add := func(name string, b *body, options ...Option) { r.addFunction(name, abi.Query, b, options) }
	add("twice", newBody[None]())
	add("twice", newBody[None]())
	add("map", newBody[struct{ M map[string]int }]())
	add("tag", newBody[struct {
		A int `weir:"mim=1"`
	}]())
	add("default", newBody[struct {
		A int `weir:"default=x"`
	}]())
	add("bounds", newBody[struct {
		A string `weir:"min=1"`
	}]())
	add("same", newBody[struct {
		A int
		B int `json:"a"`
	}]())
	add("claim", newBody[struct {
		A int `claim:"a" scope:"a"`
	}]())
	add("claimdefault", newBody[struct {
		A int `claim:"a" weir:"default=1"`
	}]())
	add("nil", newBody[None](), Require(nil))
	add("result", Func(func(*Call, None) (func(), error) { return nil, nil }).b)
	_, err := r.encoded()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"uses $rom, but struct { Room int64 } has no field of that name (room)",
		"int is not a struct",
		"has type chan int, which weir cannot carry",
		"`select 1` field Children of weir.tree",
		"`select 1` field Next of weir.node",
		"the fragment that begins here has no closing brace",
		"twice is registered twice",
		"map: field M",
		`weir tag "mim=1": write min, max`,
		"default=x does not fit the field's type",
		"min and max are for numbers",
		"has two fields named a",
		"a scope value is tagged",
		"only an argument may have a default",
		"weir.Require was given nil",
		"result: its result has type func()",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// A zero that the tag does not allow can only mean "not given".
func TestZeroArgumentTakesTheDefaultOnlyWhereZeroIsRefused(t *testing.T) {
	t.Parallel()
	type args struct {
		Limit  int     `weir:"min=1,default=50"`
		Offset int     `weir:"min=0,default=7"`
		Sort   string  `weir:"enum=new|old,default=new"`
		Scale  float64 `weir:"min=0.5,default=2"`
		Name   string  `weir:"default=x"`
	}
	s := newStatement[args, None](`select $limit, $offset, $sort, $scale, $name`, false, nil)
	f := func(a args, want string) {
		t.Helper()
		v, err := abi.DecodeCBOR(s.appendArgs(nil, unsafe.Pointer(&a)))
		if err != nil || v.String() != want {
			t.Errorf("got %s %v, want %s", v, err, want)
		}
	}
	f(args{}, `[50,0,"new",2,""]`)
	f(args{Limit: 3, Offset: 1, Sort: "old", Scale: 1, Name: "n"}, `[3,1,"old",1,"n"]`)
}

// $now is the host's, and never among the arguments.
func TestNowIsNoArgument(t *testing.T) {
	t.Parallel()
	s := newStatement[struct{ A int }, None](`select $a, $now`, false, nil)
	if s.problem != nil || len(s.params) != 1 {
		t.Errorf("%d parameters, %v", len(s.params), s.problem)
	}
}

// A page must have the columns that the Go type has, or values land in the wrong
// fields.
func TestRowsThatDoNotFitTheTypeAreRefused(t *testing.T) {
	t.Parallel()
	s := newStatement[None, struct {
		ID   int16
		Name string
		Size float64
	}](`select id, name, size from files`, false, nil)
	f := func(want string, row ...abi.Value) {
		t.Helper()
		var got struct {
			ID   int16
			Name string
			Size float64
		}
		d := abi.NewDecoder(abi.Array(row...).AppendCBOR(nil))
		if err := s.readRow(&d, unsafe.Pointer(&got)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	one := abi.Int(1)
	f("a row has 2 columns, the Go type has 3 (id, name, size): name the columns in that order", one, abi.Text(""))
	f("a row has 4 columns", one, abi.Text(""), one, one)
	f("column id: the number does not fit the Go type", abi.Int(1<<15), abi.Text(""), one)
	f("column name: ", one, abi.Null(), one)
	f("column size: is text, not a number: numeric columns are exact text", one, abi.Text(""), abi.Text("1.50"))
}

// Fields of an embedded struct are the struct's own, wherever it stands.
func TestEmbeddedFieldsKeepTheirPlace(t *testing.T) {
	t.Parallel()
	type paging struct {
		Before *int64
		Limit  int
	}
	type args struct {
		Room int64
		paging
		Author string
	}
	before := int64(3)
	a := args{1, paging{&before, 2}, "ann"}
	fields, err := inputFields(reflect.TypeFor[args]())
	if err != nil {
		t.Fatal(err)
	}
	var got args
	input := abi.Array(abi.Int(1), abi.Int(3), abi.Int(2), abi.Text("ann")).AppendCBOR(nil)
	if err := readAll(input, fields, unsafe.Pointer(&got)); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v %v, want %+v", got, err, a)
	}
}

func readAll(input []byte, args []field, p unsafe.Pointer) error {
	d := abi.NewDecoder(input)
	return readInput(&d, args, p)
}
