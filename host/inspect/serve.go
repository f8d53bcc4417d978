package inspect

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/wasilibs/go-pgquery/parser"
)

// Serve is the child: it confines the process and answers questions until in
// ends. Any error means that the process should end at once; it has answered
// nothing that it was not sure of.
func Serve(in io.Reader, out io.Writer) error {
	runtime.LockOSThread() // what is given up is given up by threads
	if err := Confine(sqlProfile); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	c, err := newCanary()
	if err != nil {
		return err
	}
	// Compiling the parser took far more memory than using it does.
	debug.FreeOSMemory()
	if err := WriteFrame(out, []byte(hello)); err != nil {
		return err
	}
	return serve(in, out, c)
}

func serve(in io.Reader, out io.Writer, c *canary) error {
	for {
		question, err := ReadFrame(in, maxQuestion)
		if errors.Is(err, io.EOF) && !errors.Is(err, errWire) {
			return nil
		}
		if err != nil {
			return err
		}
		rules, text, err := parseQuestion(question)
		if err != nil {
			return err
		}
		v := verdict{allowed: true}
		if err := checkSQL(text, &rules); err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) {
				return err
			}
			v = verdict{what: refused.What}
		}
		// Before the verdict is told: what this text did to the parser may have
		// changed how it read the text.
		if err := c.sing(); err != nil {
			return err
		}
		answer := appendAnswer(nil, question, v)
		if err := WriteFrame(out, answer[:min(len(answer), maxAnswer)]); err != nil {
			return err
		}
		if worn() {
			return nil // the next question starts another child
		}
	}
}

// canary is a statement whose tree is known. If it reads otherwise, the parser's
// memory was overwritten.
type canary struct{ tree string }

const song = `with recursive a(b, c) as (select 1, $1::text union all select b + 1, lower(c) from a where b < 10 and not c like 'x%')
select distinct m.id, coalesce(u.name, 'none') as name, (select count(*) filter (where r.at > $2) from r where r.m = m.id),
	row_number() over (partition by m.room order by m.at desc nulls last), case when m.n between 1 and 2 then array[1, 2] else '{}' end
from m left join u using (id), lateral jsonb_each(m.doc) as e(k, v)
where m.room = any($3) or exists (select from a) and m.body ~~* $4 group by 1, 2 having sum(m.n) >= 1.5 order by 2 limit $5`

func newCanary() (c *canary, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser cannot start: %v", r)
		}
	}()
	tree, err := parser.ParseToJSON(song)
	return &canary{tree}, err
}

var errSilent = errors.New("the parser reads a known statement otherwise than before")

// sing parses the known statement again.
func (c *canary) sing() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errSilent, r)
		}
	}()
	if tree, err := parser.ParseToJSON(song); err != nil || tree != c.tree {
		return errSilent
	}
	return nil
}
