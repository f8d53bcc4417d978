package inspect

import (
	"fmt"
	"path/filepath"
	"testing"
)

const typical = `select m.id, m.author, m.body, count(r.*) as reactions from messages m left join reactions r on r.message_id = m.id
	where m.room_id = $1 and m.at > $2 and not m.deleted group by m.id order by m.id desc limit $3`

// BenchmarkCheck: a statement whose verdict is in memory, on disk, and one that
// the running child must read.
func BenchmarkCheck(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "verdicts")
	i := open(b, Config{Command: itself(b, childArg), Dir: dir})
	check := func(b *testing.B, i *Inspector, text string) {
		if err := i.Check(b.Context(), read(text)); err != nil {
			b.Fatal(err)
		}
	}
	check(b, i, typical)
	b.Run("memory", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, i, typical)
		}
	})
	b.Run("disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(i.verdicts.memory)
			check(b, i, typical)
		}
	})
	b.Run("child", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n++
			check(b, i, fmt.Sprintf("%s offset %d", typical, n))
		}
	})
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			c, err := startChild(&i.config)
			if err != nil {
				b.Fatal(err)
			}
			c.Stop()
		}
	})
	b.Run("program", func(b *testing.B) {
		for b.Loop() {
			if _, err := fileDigest(i.config.Command); err != nil {
				b.Fatal(err)
			}
		}
	})
}
