package abi

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// CapabilityDynamicSQL lets a plugin run SQL that its manifest does not declare.
const CapabilityDynamicSQL = "sql.dynamic"

// maxListed bounds lists whose items are compared with each other: the columns
// of a key, the policies of a function.
const maxListed = 32

// capabilities are all that a manifest may ask for.
var capabilities = []string{CapabilityDynamicSQL}

// Validate checks all of a manifest that needs no database: names, indexes,
// statement texts, access, guards, schemas and bounds. Errors are
// *ManifestError, joined; each is one sentence with the next step.
func (m *Manifest) Validate() error {
	v := validator{m: m}
	v.whole()
	if len(m.Statements) > MaxStatements || len(m.Functions) > MaxFunctions {
		return v.err()
	}
	v.statements()
	seen := make(map[string]int, len(m.Functions))
	for i := range m.Functions {
		f := &m.Functions[i]
		if first, ok := seen[f.Name]; ok {
			v.fault(at("functions", i), "the name "+strconv.Quote(f.Name)+" is taken by functions["+strconv.Itoa(first)+"]: rename one")
		}
		seen[f.Name] = i
		v.function(i, f)
	}
	v.guards(seen)
	return v.err()
}

// validator walks a manifest; it collects errors as a reader does.
type validator struct {
	reader
	m         *Manifest
	templates []*Template // by statement; nil if the text is wrong
}

func (v *validator) whole() {
	m := v.m
	if m.ABI != Version {
		v.fault("abi", "the plugin speaks version "+strconv.Itoa(m.ABI)+" and this weir "+strconv.Itoa(Version)+": build it with an SDK of that version")
	}
	if !isPluginName(m.Name) {
		v.fault("name", strconv.Quote(cut(m.Name, maxName))+" is no name of a plugin: use lower-case letters, digits, _ and -, beginning with a letter, at most 128 bytes")
	}
	if len(m.Version) > maxName {
		v.fault("version", "longer than 128 bytes: shorten it")
	}
	if n := len(m.Statements); n > MaxStatements {
		v.fault("statements", strconv.Itoa(n)+" are more than "+strconv.Itoa(MaxStatements)+": split the plugin")
	}
	if n := len(m.Functions); n > MaxFunctions {
		v.fault("functions", strconv.Itoa(n)+" are more than "+strconv.Itoa(MaxFunctions)+": split the plugin")
	}
	if len(m.Capabilities) > maxListed {
		v.fault("capabilities", "more than "+strconv.Itoa(maxListed)+": list each once")
		return
	}
	for i, c := range m.Capabilities {
		switch {
		case !slices.Contains(capabilities, c):
			v.fault(at("capabilities", i), strconv.Quote(cut(c, maxName))+" is not known: "+thereAre(capabilities)+", so remove it")
		case slices.Contains(m.Capabilities[:i], c):
			v.fault(at("capabilities", i), strconv.Quote(c)+" is listed twice: remove one")
		}
	}
}

func (v *validator) statements() {
	v.templates = make([]*Template, len(v.m.Statements))
	for i := range v.m.Statements {
		s := &v.m.Statements[i]
		path := at("statements", i)
		t, err := ParseStatement(s.SQL)
		if err != nil {
			v.fault(path, err.Error())
		}
		v.templates[i] = t
		v.columns(path+".key", s.Key)
	}
	depths := make([]int, len(v.m.Statements))
	for i := range v.m.Statements {
		v.nests(i)
		if v.nestDepth(i, depths) == MaxNest+1 {
			v.fault(at("statements", i)+".nest", "nested more than "+strconv.Itoa(MaxNest)+" deep: make it flatter")
		}
	}
}

// columns checks a list of column names.
func (v *validator) columns(path string, names []string) {
	if len(names) > maxListed {
		v.fault(path, "more than "+strconv.Itoa(maxListed)+" columns: name fewer")
		return
	}
	for i, name := range names {
		switch {
		case name == "":
			v.fault(path, "an empty column name: remove it")
		case slices.Contains(names[:i], name):
			v.fault(path, "the column "+strconv.Quote(name)+" is listed twice: remove one")
		}
	}
}

// nests checks what statement i nests. The child runs once for all parents, so
// it can take nothing but their keys.
func (v *validator) nests(i int) {
	seen := map[string]bool{}
	for j, n := range v.m.Statements[i].Nest {
		path := at(at("statements", i)+".nest", j)
		switch {
		case n.Name == "" || n.On == "" || n.Column == "":
			v.fault(path, "name, on and column must not be empty: write all three")
		case seen[n.Name]:
			v.fault(path, "the name "+strconv.Quote(cut(n.Name, maxName))+" is used twice: rename one")
		case !v.isStatement(n.Statement):
			v.fault(path+".statement", v.noStatement(n.Statement))
		default:
			v.child(path, n.Statement)
		}
		seen[n.Name] = true
	}
}

func (v *validator) child(path string, i int) {
	t := v.templates[i]
	if t == nil {
		return
	}
	params := 0
	for _, name := range t.Names() {
		if name != ParamNow {
			params++
		}
	}
	if params != 1 || t.Variants() > 1 {
		v.fault(path+".statement", "a nested statement takes exactly one parameter, the parents' keys, and no fragments: write … = any($keys)")
	}
}

// nestDepth returns how many levels of statements nest below statement i, and
// reports circles. depths remembers: 0 is not yet seen, -1 is being looked at,
// else the depth plus one. So each statement is walked once.
func (v *validator) nestDepth(i int, depths []int) int {
	if depths[i] > 0 {
		return depths[i] - 1
	}
	depths[i] = -1
	deepest := 0
	for _, n := range v.m.Statements[i].Nest {
		switch {
		case !v.isStatement(n.Statement): // nests has said so
		case depths[n.Statement] < 0:
			v.fault(at("statements", i)+".nest", "statement "+strconv.Itoa(n.Statement)+" ends up nested in itself: break the circle")
		default:
			deepest = max(deepest, v.nestDepth(n.Statement, depths)+1)
		}
	}
	depths[i] = deepest + 1
	return deepest
}

func (v *validator) isStatement(i int) bool { return i >= 0 && i < len(v.m.Statements) }

func (v *validator) noStatement(i int) string {
	return "there is no statement " + strconv.Itoa(i) + ": the manifest has " + strconv.Itoa(len(v.m.Statements)) + ", counted from 0"
}

func (v *validator) function(i int, f *Function) {
	path := at("functions", i)
	if !isFunctionName(f.Name) {
		v.fault(path+".name", strconv.Quote(cut(f.Name, maxName))+" is no name of a function: use lower-case words joined by dots, as messages.list, at most 128 bytes")
	}
	if isFunctionName(f.Name) {
		path = f.Name
	}
	switch f.Kind {
	case Query, Mutation:
		if f.Action || f.Call {
			v.fault(path, "only a policy can ask for action and function: remove them")
		}
	case Policy:
		if len(f.Scope) > 0 {
			v.fault(path, "a policy cannot read the scope, which policies fill: use a claim")
		}
	default:
		v.fault(path, "the kind is "+strconv.Quote(cut(string(f.Kind), maxName))+": use query, mutation or policy")
	}
	v.access(path, f)
	v.fields(path, f)
	if f.Result != nil {
		v.schema(path+": result", f.Result, 0)
	}
	if len(f.Uses) > MaxStatements {
		v.fault(path+": uses", "more than there can be statements: list each once")
		return
	}
	for j, s := range f.Uses {
		switch {
		case !v.isStatement(s):
			v.fault(path+": uses", v.noStatement(s))
		case slices.Contains(f.Uses[:j], s):
			v.fault(path+": uses", "statement "+strconv.Itoa(s)+" is listed twice: remove one")
		}
	}
	if f.Statement != nil {
		v.oneStatement(path, f)
	}
}

// oneStatement checks a function that the host runs without the guest.
func (v *validator) oneStatement(path string, f *Function) {
	if len(f.Uses) > 0 {
		v.fault(path, "it is one statement, so it cannot have uses as well: remove one of them")
	}
	if !v.isStatement(*f.Statement) {
		v.fault(path, v.noStatement(*f.Statement))
		return
	}
	names := f.names()
	if slices.Contains(names, ParamNow) {
		v.fault(path, "a field cannot be called now, because $now is the time of the execution: rename it")
	}
	t := v.templates[*f.Statement]
	if t == nil || len(v.errs) >= maxFaults {
		return
	}
	for _, name := range t.Names() {
		if name != ParamNow && !slices.Contains(names, name) {
			v.fault(path, "statement "+strconv.Itoa(*f.Statement)+" uses $"+name+", but the function has no field of that name"+orMeant(name, names))
		}
	}
}

// names returns all that a function's input holds, in its order.
func (f *Function) names() []string {
	names := make([]string, 0, f.width())
	for i := range f.Fields {
		names = append(names, f.Fields[i].Name)
	}
	for i := range f.Claims {
		names = append(names, f.Claims[i].Name)
	}
	for i := range f.Scope {
		names = append(names, f.Scope[i].Name)
	}
	if f.Action {
		names = append(names, "action")
	}
	if f.Call {
		names = append(names, "function")
	}
	return names
}

func (v *validator) access(path string, f *Function) {
	a := f.Access
	stated := 0
	for _, is := range []bool{len(a.Policies) > 0, a.SignedIn, a.Public} {
		if is {
			stated++
		}
	}
	switch {
	case f.Kind == Policy && stated > 0:
		v.fault(path, "a policy has no access of its own: remove it")
	case f.Kind == Policy:
	case stated == 0:
		v.fault("", f.Name+" says nothing about access: add weir.Require(policy), weir.SignedIn() or weir.Public()")
	case stated > 1:
		v.fault(path, "access is more than one of policies, signed_in and public: keep one")
	}
}

func (v *validator) fields(path string, f *Function) {
	names := f.names()
	if len(names) > MaxParameters {
		v.fault(path, strconv.Itoa(len(names))+" fields are more than "+strconv.Itoa(MaxParameters)+": use an object")
		return
	}
	for i, name := range names {
		switch {
		case !isFieldName(name):
			v.fault(path, strconv.Quote(cut(name, maxName))+" is no name of a field: use letters, digits and _, beginning with a letter, at most 128 bytes")
		case slices.Contains(names[:i], name):
			v.fault(path, "two fields are called "+name+", counting claims and scope: rename one")
		case i < len(f.Fields) && isReserved(name):
			v.fault(path, name+" cannot be an argument, because the wire uses that parameter itself: rename it")
		}
	}
	for i := range f.Fields {
		v.schema(path+": field "+f.Fields[i].Name, &f.Fields[i].Schema, 0)
	}
	for i := range f.Claims {
		if n := len(f.Claims[i].Claim); n == 0 || n > maxName {
			v.fault(path, "the field "+f.Claims[i].Name+" does not say which claim it takes: name one, as sub")
		}
		v.schema(path+": claim "+f.Claims[i].Name, &f.Claims[i].Schema, 0)
	}
	for i := range f.Scope {
		v.schema(path+": scope "+f.Scope[i].Name, &f.Scope[i].Schema, 0)
	}
}

// schemaTypes and schemaFormats are what Check knows. Other formats are
// documentation.
var (
	schemaTypes   = []string{"integer", "number", "string", "boolean", "object", "array"}
	schemaFormats = []string{"uuid", "date", "date-time", "bytes", "decimal", "json"}
)

func (v *validator) schema(path string, s *Schema, depth int) {
	if depth >= MaxDepth {
		v.fault(path, "the schema is nested more than "+strconv.Itoa(MaxDepth)+" deep: make it flatter")
		return
	}
	if s.Type != "" && !slices.Contains(schemaTypes, s.Type) {
		v.fault(path, "the type "+strconv.Quote(cut(s.Type, maxName))+" is not known: use one of "+listed(schemaTypes))
		return
	}
	if slices.Contains(schemaFormats, s.Format) && s.Type != "string" && (s.Format != "json" || s.Type != "") {
		v.fault(path, "the format "+s.Format+" is of strings: set the type to string")
	}
	v.schemaBounds(path, s)
	if s.Items != nil {
		if s.Type != "array" {
			v.fault(path, "only an array has items: set the type to array or remove them")
		}
		v.schema(path+"[]", s.Items, depth+1)
	}
	if len(s.Fields) > 0 && s.Type != "object" {
		v.fault(path, "only an object has fields: set the type to object or remove them")
	}
	seen := make(map[string]bool, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Name == "" || len(f.Name) > maxName || seen[f.Name] {
			v.fault(path, "the member name "+strconv.Quote(cut(f.Name, maxName))+" is empty, too long or used twice: rename it")
		}
		seen[f.Name] = true
		v.schema(path+"."+cut(f.Name, maxName), &f.Schema, depth+1)
	}
	if s.Default != nil && !s.Default.IsNull() {
		if _, err := s.Check(*s.Default); err != nil {
			v.fault(path, "the default does not fit the schema: "+err.(*ArgumentError).What)
		}
	}
}

func (v *validator) schemaBounds(path string, s *Schema) {
	isNumber := s.Type == "integer" || s.Type == "number"
	hasLength := s.Type == "string" || s.Type == "array"
	switch {
	case (s.Min != nil || s.Max != nil) && !isNumber:
		v.fault(path, "only numbers have a minimum and a maximum: use minLength and maxLength or remove them")
	case s.Min != nil && s.Max != nil && *s.Min > *s.Max:
		v.fault(path, "the minimum is more than the maximum: swap them")
	case s.Min != nil && math.IsNaN(*s.Min) || s.Max != nil && math.IsNaN(*s.Max):
		v.fault(path, "a bound is not a number: write one")
	}
	switch {
	case (s.MinLen != nil || s.MaxLen != nil) && !hasLength:
		v.fault(path, "only strings and arrays have a length: use minimum and maximum or remove it")
	case s.MinLen != nil && *s.MinLen < 0 || s.MaxLen != nil && *s.MaxLen < 0:
		v.fault(path, "a length is negative: count from 0")
	case s.MinLen != nil && s.MaxLen != nil && *s.MinLen > *s.MaxLen:
		v.fault(path, "minLength is more than maxLength: swap them")
	}
	if len(s.Enum) > 0 && s.Type != "string" && s.Type != "" {
		v.fault(path, "only strings can be listed in enum: remove it")
	}
}

// guards checks that each policy exists and that it sees the same arguments as
// the functions that it guards. Policies of other plugins are checked when both
// are loaded.
func (v *validator) guards(index map[string]int) {
	var policies []string
	for i := range v.m.Functions {
		if v.m.Functions[i].Kind == Policy {
			policies = append(policies, v.m.Functions[i].Name)
		}
	}
	for i := range v.m.Functions {
		f := &v.m.Functions[i]
		if len(f.Access.Policies) > maxListed {
			v.fault(f.Name, "more than "+strconv.Itoa(maxListed)+" policies: join some of them")
			continue
		}
		if len(v.errs) >= maxFaults { // looking for near names costs time
			return
		}
		for j, name := range f.Access.Policies {
			at, ok := index[name]
			switch {
			case slices.Contains(f.Access.Policies[:j], name):
				v.fault(f.Name, "the policy "+strconv.Quote(cut(name, maxName))+" is listed twice: remove one")
			case strings.Contains(name, "/"):
				if plugin, policy, _ := strings.Cut(name, "/"); !isPluginName(plugin) || !isFunctionName(policy) {
					v.fault(f.Name, strconv.Quote(cut(name, maxName))+" is no policy of another plugin: write plugin/policy")
				}
			case !ok:
				v.fault(f.Name, "there is no policy "+strconv.Quote(cut(name, maxName))+orMeant(name, policies))
			case v.m.Functions[at].Kind != Policy:
				v.fault(f.Name, name+" is a "+string(v.m.Functions[at].Kind)+", not a policy"+orMeant(name, policies))
			default:
				if err := f.GuardedBy(&v.m.Functions[at]); err != nil {
					v.fault(f.Name, err.Error())
				}
			}
		}
	}
}

// GuardedBy returns an error unless every argument field of policy p is one of
// f, with a schema whose values p can take. It is for policies of other plugins
// and those that the operator adds; Validate asks it for a plugin's own.
func (f *Function) GuardedBy(p *Function) error {
	for i := range p.Fields {
		want := &p.Fields[i]
		at := slices.IndexFunc(f.Fields, func(f Field) bool { return f.Name == want.Name })
		if at < 0 {
			return &ManifestError{What: guardMissing(p, f, want.Name)}
		}
		if why := fits(&f.Fields[at].Schema, &want.Schema); why != "" {
			return &ManifestError{What: "the policy " + p.Name + " reads " + want.Name + ", but " + why + ": give both the same type"}
		}
	}
	return nil
}

func guardMissing(p, f *Function, field string) string {
	return "the policy " + p.Name + " reads the argument " + field + ", which " + f.Name + " does not have: add the field or use another policy"
}

// fits says why values that have passed the schema from cannot be read as to;
// "" means that they can. Limits do not matter, only what values look like.
func fits(from, to *Schema) string {
	if to.Type == "" && to.Format == "" {
		return ""
	}
	if from.Type != to.Type {
		return "it is " + typeOf(from) + " in the function and " + typeOf(to) + " in the policy"
	}
	if from.Format != to.Format && (slices.Contains(schemaFormats, from.Format) || slices.Contains(schemaFormats, to.Format)) {
		return "its formats differ"
	}
	if from.nullable() && !to.nullable() {
		return "it is optional in the function and not in the policy"
	}
	if from.Items != nil && to.Items != nil {
		return fits(from.Items, to.Items)
	}
	if to.Items != nil {
		return "its items have no schema in the function"
	}
	if len(from.Fields) != len(to.Fields) {
		return "its members differ"
	}
	for i := range from.Fields {
		if from.Fields[i].Name != to.Fields[i].Name {
			return "its members differ"
		}
		if why := fits(&from.Fields[i].Schema, &to.Fields[i].Schema); why != "" {
			return why
		}
	}
	return ""
}

// nullable reports whether a checked value can be null.
func (s *Schema) nullable() bool {
	if s.Default != nil && !s.Default.IsNull() {
		return false
	}
	return s.Optional || s.Default != nil || s.Type == "" && s.Format != "json"
}

func typeOf(s *Schema) string {
	if s.Type == "" {
		return "of any type"
	}
	return "of type " + s.Type
}

// orMeant ends a sentence about a name that does not exist.
func orMeant(name string, among []string) string {
	if m := meant(name, among); m != "" {
		return m
	}
	if len(among) == 0 {
		return ": there are none, declare it"
	}
	return ": " + thereAre(among)
}

func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// isFunctionName reports whether s is lower-case words joined by dots:
// [a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*.
func isFunctionName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	first := true // a word begins here
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
			first = false
		case first:
			return false
		case c == '.':
			first = true
		case c >= '0' && c <= '9' || c == '_':
		default:
			return false
		}
	}
	return !first
}

// isPluginName is as isFunctionName, with dashes and without dots.
func isPluginName(s string) bool {
	return !strings.Contains(s, ".") && !strings.HasPrefix(s, "-") && isFunctionName(strings.ReplaceAll(s, "-", "_"))
}

// isFieldName reports whether $s can be a parameter.
func isFieldName(s string) bool {
	return s != "" && len(s) <= maxName && isASCII(s) && isNameStart(s[0]) &&
		strings.IndexFunc(s, func(r rune) bool { return !isNamePart(byte(r)) }) < 0
}
