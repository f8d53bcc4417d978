package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wasilibs/go-pgquery/parser"
)

// checkSQL is the allow-list: it returns nil when the text may be run under the
// rules, and a RefusedError otherwise. Any other error means that the parser can
// no longer be trusted. It is called in the child only.
func checkSQL(text string, rules *Rules) (err error) {
	defer func() {
		// The parser traps when its memory is at an end, and so does what reads
		// its answer when that makes no sense.
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser trapped: %v", r)
		}
	}()
	if err := textRefusal(text); err != nil {
		return err
	}
	list, err := tokens(text)
	if err != nil {
		return err
	}
	if err := firstRefusal(list, rules.Kind); err != nil {
		return err
	}
	if n := nesting(list); n > maxNesting {
		return refuse("is nested too deeply for inspection (%d, at most %d): split it, or use a view", n, maxNesting)
	}
	tree, err := parser.ParseToJSON(text)
	if err != nil {
		return refuse("is no statement that the inspection can read: %s: correct it", sentence(err))
	}
	root, err := decode(tree)
	if err != nil {
		return err
	}
	return newWalker(rules, root).run()
}

// sentence is an error of the parser in one short line.
func sentence(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// statements are the words that a statement may begin with. All others end here,
// before the parser is asked: its grammar for them is not needed.
var statements = map[string]Kind{
	"select": Read, "with": Read, "values": Read, "table": Read, "(": Read,
	"insert": Write, "update": Write, "delete": Write, "merge": Write,
}

// firstRefusal judges by the first token.
func firstRefusal(list []token, kind Kind) error {
	if len(list) == 0 {
		return refuse("is empty: write %s", forms[kind])
	}
	word := strings.ToLower(list[0].text)
	switch need, ok := statements[word]; {
	case !ok:
		return refuse("begins with %s: write %s", clip(list[0].text), forms[kind])
	case need == Write && kind != Write:
		return refuse("writes (%s), but a query only reads: move it into a mutation", word)
	}
	return nil
}

var forms = map[Kind]string{Read: "one SELECT", Write: "one SELECT, INSERT, UPDATE, DELETE or MERGE"}

// clip bounds what a statement may put into a message.
func clip(name string) string {
	if len(name) > 80 {
		return strings.ToValidUTF8(name[:80], "") + "…"
	}
	return name
}

// object is a node of the tree: its fields by name.
type object = map[string]any

var errTree = errors.New("BUG: the parser's answer is no tree")

// decode reads the parser's JSON.
func decode(tree string) (object, error) {
	d := json.NewDecoder(strings.NewReader(tree))
	d.UseNumber()
	var root object
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("%w: %w", errTree, err)
	}
	return root, nil
}
