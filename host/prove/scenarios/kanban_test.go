package scenarios

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
)

const kanbanSchema = `create table projects (id int primary key, name text not null, archived boolean not null default false);
	create table cards (id serial primary key, project int not null references projects, col int not null, pos int not null,
		title text not null, assignee int not null, note text not null default '', opened_at timestamptz);
	create index on cards (project);`

const (
	kanbanBoard = `select c.id, c.col, c.pos, c.title, c.assignee from cards c join projects p on p.id = c.project
		where c.project = %s and not p.archived order by c.col, c.pos, c.id`
	kanbanMine   = `select id, col, title from cards where project = %s and assignee = %s order by pos, id`
	kanbanCounts = `select col, count(*) as n from cards where project = %s group by col order by col`
	kanbanList   = `select id, name from projects where not archived order by name, id`
)

// board is a project and those who look at it.
type board struct {
	n                   int
	cards, mine, counts *history
	clients             []*client
}

func (b *board) all() []*history { return []*history{b.cards, b.mine, b.counts} }

// TestScenarioKanban: W1, W2, W3. Boards with a filter and figures: cards move within a
// column, between columns and between projects, come, go and are renamed; projects are
// archived and come back. Connections break. Each frame is a board that was, each client
// ends at the fresh one, and a change makes only what it touches run.
func TestScenarioKanban(t *testing.T) {
	t.Parallel()
	const cards, watchers = 12, 3
	n, rounds := 4*min(scale(t), 5), 12*scale(t)
	w := start(t, "kanban", kanbanSchema+fmt.Sprintf(`insert into projects select i, 'project ' || i from generate_series(1, %d) i;
		insert into cards (project, col, pos, title, assignee) select p, i %% 4, i, 'card ' || i, i %% 3
			from generate_series(1, %[1]d) p, generate_series(1, %d) i order by p, i;`, n, cards),
		map[string][]byte{"kanban.wasm": plugin(
			"kanban", "1",
			function{name: "board", sql: fmt.Sprintf(kanbanBoard, "$project"), key: []string{"id"}},
			function{name: "mine", sql: fmt.Sprintf(kanbanMine, "$project", "$assignee"), key: []string{"id"}},
			function{name: "counts", sql: fmt.Sprintf(kanbanCounts, "$project"), key: []string{"col"}},
			function{name: "projects", sql: kanbanList, key: []string{"id"}},
		)})
	projects := w.watchable(t, "projects", kanbanList)
	boards := make([]*board, n)
	for i := range boards {
		b := &board{n: i + 1}
		of := fmt.Sprint(b.n)
		b.cards = w.watchable(t, "board "+of, fmt.Sprintf(kanbanBoard, of))
		b.mine = w.watchable(t, "mine on board "+of, fmt.Sprintf(kanbanMine, of, "1"))
		b.counts = w.watchable(t, "counts of board "+of, fmt.Sprintf(kanbanCounts, of))
		for c := range watchers {
			b.clients = append(b.clients, w.open(t, who{name: fmt.Sprintf("p%d.%d", b.n, c)}, beats(),
				&live{name: "board", args: `{"project":` + of + `}`, scope: b.cards},
				&live{name: "mine", args: `{"project":` + of + `,"assignee":1}`, scope: b.mine},
				&live{name: "counts", args: `{"project":` + of + `}`, scope: b.counts},
				&live{name: "projects", scope: projects}))
		}
		boards[i] = b
	}
	w.settle(t)
	w.fresh(t)
	kanbanCosts(t, w, boards[0], boards[1], projects, int64(len(w.clients)), watchers)

	w.concurrently(t, n, func(i int, conn *pgx.Conn) error {
		rng := rand.New(rand.NewPCG(11, uint64(i)))
		for range rounds {
			if err := w.try(t.Context(), conn, boards[i].draw(rng, boards, projects)); err != nil {
				return err
			}
			if rng.IntN(4) > 0 {
				continue
			}
			// A connection breaks, and its client comes back with what it holds.
			if err := boards[i].clients[rng.IntN(watchers)].reconnect(t.Context()); err != nil {
				return err
			}
		}
		// Nothing is archived at the end, so that the boards have something to show.
		b := boards[i]
		return w.try(t.Context(), conn, commit{sql: fmt.Sprintf(`update projects set archived = false where id = %d`, b.n), touches: append(b.all(), projects)})
	})
	w.settle(t)
	w.fresh(t, projects)
	for _, b := range boards {
		w.fresh(t, b.all()...)
	}
	w.row(t, "W1 W2 W3", "board", "mine", "counts", "projects")
}

// kanbanCosts asserts what each kind of commit costs. In the beginning card i of a
// project is in column i%4 at position i and assigned to i%3; cards are numbered on.
func kanbanCosts(t *testing.T, w *world, a, b *board, projects *history, everybody, watchers int64) {
	f := func(what, sql string, runs cost, frames int64, touches ...*history) {
		t.Helper()
		w.exactly(t, what, runs, frames, func() { w.commit(t, w.conn, commit{sql: sql, touches: touches}) })
	}
	none := cost{"board": 0, "mine": 0, "counts": 0, "projects": 0}
	f("a note", `update cards set note = 'seen', opened_at = clock_timestamp() where project = 1`, none, 0)
	f("a move within its column", `update cards set pos = 100 where id = 2`,
		cost{"board": 1, "mine": 0, "counts": 0, "projects": 0}, watchers, a.all()...)
	f("a move to another column", `update cards set col = 3 where id = 2`,
		cost{"board": 1, "mine": 0, "counts": 1, "projects": 0}, 2*watchers, a.all()...)
	f("a title of mine", `update cards set title = 'mine' where id = 1`,
		cost{"board": 1, "mine": 1, "counts": 0, "projects": 0}, 2*watchers, a.all()...)
	f("an assignment to me", `update cards set assignee = 1 where id = 2`,
		cost{"board": 1, "mine": 1, "counts": 0, "projects": 0}, 2*watchers, a.all()...)
	f("a move to another project", `update cards set project = 2 where id = 2`,
		cost{"board": 2, "mine": 2, "counts": 2, "projects": 0}, 6*watchers, append(a.all(), b.all()...)...)
	f("an archived project", `update projects set archived = true where id = 1`,
		cost{"board": 1, "mine": 0, "counts": 0, "projects": 1}, watchers+everybody, append(a.all(), projects)...)
	f("a project that is back", `update projects set archived = false where id = 1`,
		cost{"board": 1, "mine": 0, "counts": 0, "projects": 1}, watchers+everybody, append(a.all(), projects)...)
}

// draw draws a change of a board.
func (b *board) draw(rng *rand.Rand, boards []*board, projects *history) commit {
	// Another card each time: one of the board's, by its rank.
	card := fmt.Sprintf(`(select id from cards where project = %d order by id offset %d limit 1)`, b.n, rng.IntN(10))
	switch rng.IntN(12) {
	case 0, 1, 2:
		return commit{sql: fmt.Sprintf(`update cards set pos = %d where id = %s`, rng.IntN(100), card), touches: b.all()}
	case 3, 4:
		return commit{sql: fmt.Sprintf(`update cards set col = %d, pos = %d where id = %s`, rng.IntN(4), rng.IntN(100), card), touches: b.all()}
	case 5:
		return commit{sql: fmt.Sprintf(`update cards set title = title || '.', assignee = %d where id = %s`, rng.IntN(3), card), touches: b.all()}
	case 6:
		return commit{sql: fmt.Sprintf(`insert into cards (project, col, pos, title, assignee) values (%d, 0, %d, 'new', %d)`, b.n, rng.IntN(100), rng.IntN(3)), touches: b.all()}
	case 7:
		return commit{sql: fmt.Sprintf(`delete from cards where id = (select max(id) from cards where project = %d having count(*) > 8)`, b.n), touches: b.all()}
	case 8:
		to := boards[rng.IntN(len(boards))]
		touches := b.all()
		if to != b {
			touches = append(touches, to.all()...)
		}
		return commit{sql: fmt.Sprintf(`update cards set project = %d where id = %s`, to.n, card), touches: touches}
	case 9:
		return commit{sql: fmt.Sprintf(`update projects set archived = not archived where id = %d`, b.n), touches: append(b.all(), projects)}
	case 10:
		return commit{sql: fmt.Sprintf(`update projects set name = name || '.' where id = %d`, b.n), touches: []*history{projects}}
	default: // a column is numbered anew, and what nobody reads is written
		return commit{sql: fmt.Sprintf(`update cards set pos = n, note = 'renumbered' from (select id as of, row_number() over (order by pos, id) as n
			from cards where project = %d and col = 1) as new where id = of`, b.n), touches: b.all()}
	}
}
