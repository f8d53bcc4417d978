package weir

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"weir/abi"
	"weir/plugins/guest/internal/door"
)

// Statement is a SELECT with arguments A and rows R; Select makes it. It is
// immutable and safe for concurrent use.
//
// Given to Query it is the whole function: the host runs it and the guest is
// never entered. In a handler it is called:
//
//	rooms, err := mine.All(c, MineArgs{Me: a.Me})
//	room, err := byID.One(c, RoomArgs{ID: a.Room})
type Statement[A, R any] struct{ s *statement }

// Command is an INSERT, UPDATE, DELETE or MERGE with arguments A and returned
// rows R; Exec makes it. It is immutable and safe for concurrent use. Only
// mutations may run it.
type Command[A, R any] struct{ s *statement }

// None is the row type of a Command that returns none.
type None struct{}

// Select declares a SELECT. Call it at package level, in a var.
//
// A is a struct; each $name in sql is its field of that name. A fragment in
// braces, {and author = $author}, is kept only when all its names are present,
// that is, not nil. R is a struct whose fields are the columns, in the order of
// the select list.
//
//	var list = weir.Select[ListArgs, Message](`
//		select id, author, body, sent_at from messages
//		where room_id = $room {and author = $author}
//		order by id desc limit $limit`, weir.Key("id"))
func Select[A, R any](sql string, options ...StatementOption) *Statement[A, R] {
	return &Statement[A, R]{standard.addStatement(newStatement[A, R](sql, false, options))}
}

// Exec declares a statement that writes. Call it at package level, in a var. A
// and sql are as for Select; R is what RETURNING gives, or None.
//
//	var rename = weir.Exec[RenameArgs, weir.None](`update rooms set name = $name where id = $room`)
func Exec[A, R any](sql string, options ...StatementOption) *Command[A, R] {
	return &Command[A, R]{standard.addStatement(newStatement[A, R](sql, true, options))}
}

// StatementOption is Key or Nest.
type StatementOption func(*statement)

// Key names the columns that tell rows apart. With it clients get only the rows
// that changed.
func Key(columns ...string) StatementOption {
	return func(s *statement) { s.key = columns }
}

// Nest puts the rows of child into each row, under name. The host collects the
// values of column on, gives them to child as its only parameter, a set, and
// groups child's rows by column:
//
//	var members = weir.Select[struct{ Rooms []int64 }, Member](
//		`select room_id, user_id as "user" from members where room_id = any($rooms)`)
//	var rooms = weir.Select[MineArgs, Room](`select id, name from rooms`,
//		weir.Nest("members", "id", members, "room_id"))
//
// Clients and callers of the query get the child's rows under name. A handler
// that reads rows gets the columns only: a field of that name stays empty, and
// the handler runs child itself if it wants them.
func Nest(name, on string, child AnyStatement, column string) StatementOption {
	return func(s *statement) {
		s.nests = append(s.nests, nest{name, on, child.core(), column})
	}
}

// AnyStatement is a *Statement or a *Command.
type AnyStatement interface{ core() *statement }

// Returns is a *Statement or *Command with rows R. Tests use it.
type Returns[R any] interface {
	AnyStatement
	returns(R)
}

// Takes is a *Statement or *Command with arguments A. Tests use it.
type Takes[A any] interface {
	AnyStatement
	takes(A)
}

func (s *Statement[A, R]) core() *statement { return s.s }
func (s *Command[A, R]) core() *statement   { return s.s }
func (*Statement[A, R]) returns(R)          {}
func (*Command[A, R]) returns(R)            {}
func (*Statement[A, R]) takes(A)            {}
func (*Command[A, R]) takes(A)              {}

// statement is a Statement or Command without its types.
type statement struct {
	index   int32 // in the manifest: the order of declaration
	sql     string
	writes  bool
	policy  bool // AllowIf: Go code cannot run it
	key     []string
	nests   []nest
	argType reflect.Type
	args    []field // what the arguments' struct has
	params  []field // what the text wants, in order
	rowType reflect.Type
	row     []field // the columns
	problem error   // found when it was declared, told when it is described or run
}

// nest is one child of a statement.
type nest struct {
	name   string
	on     string
	child  *statement
	column string
}

// newStatement plans a statement. Its problem, if any, is kept, because a
// package-level var has nowhere to return it.
func newStatement[A, R any](sql string, writes bool, options []StatementOption) *statement {
	s := &statement{sql: sql, writes: writes, argType: reflect.TypeFor[A](), rowType: reflect.TypeFor[R]()}
	for _, option := range options {
		option(s)
	}
	if s.problem = s.planArgs(); s.problem == nil {
		s.problem = s.planRow(s.rowType)
	}
	return s
}

func (s *statement) planArgs() (err error) {
	if s.args, err = fieldsOf(s.argType, asArray, 0); err != nil {
		return err
	}
	template, err := abi.ParseStatement(s.sql)
	if err != nil {
		return err
	}
	for _, name := range template.Names() {
		if name == abi.ParamNow {
			continue // the host fills it in
		}
		f := findField(s.args, name)
		if f == nil {
			return errors.New("uses $" + name + ", but " + s.argType.String() + " has no field of that name" + listFields(s.args))
		}
		s.params = append(s.params, *f)
	}
	return nil
}

// planRow plans the columns in field order. Nested rows are not in a page.
func (s *statement) planRow(t reflect.Type) error {
	fields, err := fieldsOf(t, asArray, 0)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if s.nestNamed(f.name) == nil {
			s.row = append(s.row, f)
		}
	}
	return nil
}

// result is the schema of the rows, with those of nested statements; nil if there
// are none, or if they have no JSON.
func (s *statement) result() *abi.Schema {
	if s.problem != nil || s.rowType == reflect.TypeFor[None]() {
		return nil
	}
	row, err := newCodec(s.rowType, asMap, "", 0)
	if err != nil {
		return nil
	}
	items := row.schema
	items.Fields = slices.Clone(items.Fields)
	for _, n := range s.nests {
		child := n.child.result()
		if child == nil {
			child = &abi.Schema{Type: "array"}
		}
		i := slices.IndexFunc(items.Fields, func(f abi.Field) bool { return f.Name == n.name })
		if i < 0 {
			i = len(items.Fields)
			items.Fields = append(items.Fields, abi.Field{Name: n.name})
		}
		doc := items.Fields[i].Schema.Doc
		items.Fields[i].Schema = *child
		items.Fields[i].Schema.Doc = doc
	}
	return &abi.Schema{Type: "array", Items: &items}
}

func (s *statement) nestNamed(name string) *nest {
	for i := range s.nests {
		if s.nests[i].name == name {
			return &s.nests[i]
		}
	}
	return nil
}

// appendArgs encodes the arguments at p in the order of the parameters.
func (s *statement) appendArgs(dst []byte, p unsafe.Pointer) []byte {
	dst = abi.AppendArray(dst, len(s.params))
	for i := range s.params {
		f := &s.params[i]
		start := len(dst)
		dst = f.codec.append(dst, unsafe.Add(p, f.offset))
		if f.fill != nil && isZero(dst[start:]) {
			dst = append(dst[:start], f.fill...)
		}
	}
	return dst
}

// hidden returns p, unknown to the compiler, which would put what it points to into
// the heap at each call, since codecs are called through variables. It is sound for
// what is only encoded: no codec's append keeps p.
//
//go:nosplit
func hidden(p unsafe.Pointer) unsafe.Pointer {
	at := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&at))
}

// isZero reports whether an encoded number or string is Go's zero value: 0, an
// empty text, or 0.0, which is encoded as a half.
func isZero(b []byte) bool {
	return len(b) == 1 && (b[0] == 0 || b[0] == 0x60) || len(b) == 3 && b[0] == 0xf9 && b[1] == 0 && b[2] == 0
}

// readRow reads one row into the struct at p.
func (s *statement) readRow(d *abi.Decoder, p unsafe.Pointer) error {
	n, err := d.Array()
	if err != nil {
		return err
	}
	if n != len(s.row) {
		return errors.New("a row has " + strconv.Itoa(n) + " columns, the Go type has " + strconv.Itoa(len(s.row)) +
			listFields(s.row) + ": name the columns in that order")
	}
	for i := range s.row {
		if err := s.row[i].codec.read(d, unsafe.Add(p, s.row[i].offset)); err != nil {
			return errors.New("column " + s.row[i].name + ": " + err.Error())
		}
	}
	return nil
}

// appendRow encodes the row at p as a page has it.
func (s *statement) appendRow(dst []byte, p unsafe.Pointer) []byte {
	dst = abi.AppendArray(dst, len(s.row))
	for i := range s.row {
		dst = s.row[i].codec.append(dst, unsafe.Add(p, s.row[i].offset))
	}
	return dst
}

// readArgs undoes appendArgs, for tests that look at what was asked.
func (s *statement) readArgs(args []byte, p unsafe.Pointer) error {
	d := abi.NewDecoder(args)
	if _, err := d.Array(); err != nil {
		return err
	}
	for i := range s.params {
		f := &s.params[i]
		if err := f.codec.read(&d, unsafe.Add(p, f.offset)); err != nil {
			return err
		}
	}
	return d.Done()
}

// fake is what weirtest must know.
func (s *statement) fake() door.Statement {
	return door.Statement{Index: s.index, SQL: s.sql, AppendRow: s.appendRow, ReadArgs: s.readArgs}
}

// title is the statement's first words, for messages.
func (s *statement) title() string {
	words := strings.Join(strings.Fields(s.sql), " ")
	if len(words) > 60 {
		words = cut(words, 57) + "..."
	}
	return "`" + words + "`"
}

func findField(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// listFields names the fields for a message: " (room, author)".
func listFields(fields []field) string {
	if len(fields) == 0 {
		return ""
	}
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return " (" + strings.Join(names, ", ") + ")"
}
