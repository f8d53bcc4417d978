package weir

import (
	"errors"
	"sort"
	"sync"

	"weir/abi"
)

// registry is everything that a plugin declares. Statements keep their order of
// declaration, which Go fixes for package-level vars; functions are sorted by
// name when the plugin is described, so that the order of init does not matter.
type registry struct {
	mu         sync.Mutex // protects the fields below
	name       string
	version    string
	statements []*statement
	functions  []*function
	described  bool // nothing may be added any more
	problems   []error
}

// standard is the plugin's registry.
var standard = &registry{name: "plugin", version: "0.0.0"}

// function is a registered function.
type function struct {
	name     string
	kind     abi.Kind
	body     *body
	policies []*Policy
	signedIn bool
	public   bool
	uses     []*statement
	usesSet  bool
	doc      string
}

// Option says who may call a function, and more: Require, SignedIn, Public,
// Uses, Doc.
type Option func(*function)

// Plugin names the plugin. Call it in init; without it the name is "plugin".
//
//	weir.Plugin("chat", "1.0.0")
func Plugin(name, version string) {
	standard.mu.Lock()
	defer standard.mu.Unlock()
	standard.name, standard.version = name, version
}

// Query registers a live query. Call it in init, with who may call it: Require,
// SignedIn or Public.
//
//	weir.Query("messages.list", list, weir.Require(member))
func Query(name string, b QueryBody, options ...Option) {
	standard.addFunction(name, abi.Query, b.body(), options)
}

// Mutation registers a function that writes, in one transaction with its
// policies. Call it in init, with who may call it.
//
//	weir.Mutation("messages.post", weir.Func(post), weir.Require(member))
func Mutation(name string, b MutationBody, options ...Option) {
	standard.addFunction(name, abi.Mutation, b.body(), options)
}

// Policy decides who may call a function; AllowIf and Decide make it. It is
// immutable.
type Policy struct{ name string }

// AllowIf declares a policy that is one SELECT: a row allows. Columns with
// meaning are allow (boolean: a row may deny and still wake), reason (text),
// scope (jsonb) and wake_at (timestamptz). Call it at package level.
//
//	var member = weir.AllowIf[struct {
//		Room int64
//		Me   string `claim:"sub"`
//	}]("member", `select 1 from members where room_id = $room and user_id = $me`)
func AllowIf[A any](name, sql string, options ...Option) *Policy {
	s := newStatement[A, None](sql, false, nil)
	s.policy = true
	standard.addStatement(s)
	standard.addFunction(name, abi.Policy, s.body(), options)
	return &Policy{name}
}

// Decide declares a policy written in Go. A may have fields tagged
// `weir:"action"` ("read" or "write") and `weir:"function"` (the name of the
// guarded function), beside arguments and claims. Call it at package level. An
// error lets nobody in.
//
//	var open = weir.Decide("open", func(c *weir.Call, a OpenArgs) (weir.Decision, error) {
//		if h := c.Now().Hour(); h < 9 || h >= 17 {
//			return weir.Deny("come back in the morning").Until(nextOpening(c.Now())), nil
//		}
//		return weir.Allow().Until(nextClosing(c.Now())), nil
//	})
func Decide[A any](name string, decide func(*Call, A) (Decision, error), options ...Option) *Policy {
	b := newBody[A]()
	b.run = runner(b, decide, func(dst []byte, d *Decision) reply {
		if err := d.problem(); err != nil {
			return failure(dst, err)
		}
		return reply{tag: abi.TagValue, data: d.append(dst)}
	})
	standard.addFunction(name, abi.Policy, b, options)
	return &Policy{name}
}

// Require lets a caller in when all the policies allow.
func Require(policies ...*Policy) Option {
	return func(f *function) { f.policies = append(f.policies, policies...) }
}

// SignedIn lets in every caller with a valid token.
func SignedIn() Option { return func(f *function) { f.signedIn = true } }

// Public lets everybody in.
func Public() Option { return func(f *function) { f.public = true } }

// Uses narrows the statements that a Func may run. Without it they are all of
// the plugin's SELECTs, and for a mutation all of its statements.
func Uses(statements ...AnyStatement) Option {
	return func(f *function) {
		f.usesSet = true
		for _, s := range statements {
			f.uses = append(f.uses, s.core())
		}
	}
}

// Doc describes the function in a sentence, for people.
func Doc(sentence string) Option { return func(f *function) { f.doc = sentence } }

func (r *registry) addStatement(s *statement) *statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.described && sealed {
		panic("weir: " + s.title() + " is declared during a call: declare statements at package level")
	}
	s.index = int32(len(r.statements))
	r.statements = append(r.statements, s)
	return s
}

func (r *registry) addFunction(name string, kind abi.Kind, b *body, options []Option) {
	f := &function{name: name, kind: kind, body: b}
	for _, option := range options {
		option(f)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.described && sealed {
		panic("weir: " + name + " is registered during a call: register functions in init")
	}
	r.functions = append(r.functions, f)
	for _, other := range r.functions[:len(r.functions)-1] {
		if other.name == name {
			r.problems = append(r.problems, errors.New(name+" is registered twice"))
		}
	}
}

// ordered seals the registry and returns the functions in the manifest's order.
func (r *registry) ordered() []*function {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.described {
		r.described = true
		sort.SliceStable(r.functions, func(i, j int) bool { return r.functions[i].name < r.functions[j].name })
	}
	return r.functions
}
