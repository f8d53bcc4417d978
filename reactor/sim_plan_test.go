package reactor

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// simPlan is all that a run depends on: a seed, and which steps are done. Every
// simRest-th is a rest, the last one lets everybody leave.
type simPlan struct {
	seed     uint64
	steps    []int
	sabotage func(*simNode)
}

const (
	simRest  = 250
	simSteps = 6 * simRest
)

func wholePlan(seed uint64) simPlan {
	p := simPlan{seed: seed, steps: make([]int, simSteps)}
	for i := range p.steps {
		p.steps[i] = i
	}
	return p
}

// run does a plan. What it returns beside the simulation is what broke, "" if
// nothing did.
func (p *simPlan) run(traced bool) (s *sim, failure string) {
	s = newSim(p.seed, traced)
	s.sabotage = p.sabotage
	defer func() {
		switch broken := recover().(type) {
		case nil:
		case simFailure:
			failure = string(broken)
		default:
			failure = fmt.Sprintf("panic: %v\n%s", broken, debug.Stack())
		}
	}()
	for _, step := range p.steps {
		if step%simRest == simRest-1 {
			s.quiesce(step)
		} else {
			s.perform(step)
		}
	}
	s.finale(simSteps)
	return s, ""
}

// kind is the promise that a failure breaks.
func kind(failure string) string {
	kind, _, _ := strings.Cut(failure, ":")
	return kind
}

// shrink looks for a shorter plan that breaks the same promise, until there is none
// from which a single step can be left out, or time is up: chunks of steps are left
// out, half of them first.
func (p *simPlan) shrink(failure string, end time.Time) (_ simPlan, runs int) {
	best := *p
	fails := func(steps []int) bool {
		try := simPlan{p.seed, steps, p.sabotage}
		s, got := try.run(false)
		runs++
		if got == "" || kind(got) != kind(failure) {
			return false
		}
		// What would have come after is not needed.
		best.steps = steps[:done(steps, s.step)]
		return true
	}
	if !fails(best.steps) {
		return best, runs // it depends on something else than the plan
	}
	for size := len(best.steps) / 2; size > 0; {
		shorter := false
		// From the end: what comes late depends on what comes early.
		for at := len(best.steps) - size; at > -size && time.Now().Before(end); at -= size {
			at := max(at, 0)
			if at+size > len(best.steps) {
				continue
			}
			if fails(slices.Delete(slices.Clone(best.steps), at, at+size)) {
				shorter = true
			}
		}
		switch {
		case !time.Now().Before(end):
			return best, runs
		case !shorter:
			size /= 2
		default:
			size = min(size, len(best.steps)/2)
		}
	}
	return best, runs
}

// done returns how many of the steps are done up to one.
func done(steps []int, last int) int {
	at, found := slices.BinarySearch(steps, last)
	if found {
		at++
	}
	return at
}

// String writes the steps as WEIR_STEPS takes them: 3-5,17.
func (p *simPlan) String() string {
	var b strings.Builder
	for i := 0; i < len(p.steps); {
		from := p.steps[i]
		to := from
		for i++; i < len(p.steps) && p.steps[i] == to+1; i++ {
			to++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(from))
		if to > from {
			b.WriteString("-" + strconv.Itoa(to))
		}
	}
	return b.String()
}

func parsePlan(seed uint64, text string) (simPlan, error) {
	p := simPlan{seed: seed}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && ranged {
			to, err = strconv.Atoi(last)
		}
		if err != nil || to < from || to >= simSteps {
			return p, fmt.Errorf("steps %q are not of the form 3-5,17", part)
		}
		for step := from; step <= to; step++ {
			p.steps = append(p.steps, step)
		}
	}
	return p, nil
}

// explain shrinks a failing plan and says what happens in it, and how to see it
// again.
func (p *simPlan) explain(failure string, patience time.Duration) string {
	short, runs := p.shrink(failure, time.Now().Add(patience))
	s, again := short.run(true)
	lines := strings.Split(strings.TrimSuffix(s.trace.String(), "\n"), "\n")
	if cut := len(lines) - simTail; cut > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines before", cut)}, lines[cut:]...)
	}
	text := fmt.Sprintf("seed %d: %s\n\n%d of %d steps are left after %d runs: step, time, version of the database, what happens\n%s\n",
		p.seed, failure, len(short.steps), len(p.steps), runs, strings.Join(lines, "\n"))
	if again != "" {
		text += again + "\n"
	} else {
		text += "it does not fail again: something depends on more than the plan\n"
	}
	return text + fmt.Sprintf("again: WEIR_SEED=%d WEIR_STEPS=%s go test ./reactor -run '^TestSimulation$' -count=1 -v\n", p.seed, &short)
}

// simTail is how many lines of a trace are shown.
const simTail = 200
