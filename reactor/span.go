package reactor

// span is the time, in snapshots of one epoch, in which something is known to
// hold: a result, or a policy's answer. It begins where it was read. While
// nothing that is applied concerns it, it is open: it lasts as long as the change
// log is applied, which the core's mark says for all of them at once (F1). When
// a change concerns it, it is frozen.
type span struct {
	from, to Stamp
	open     bool
}

// until is the end of the span when the change log is applied up to mark.
func (s *span) until(mark Stamp) Stamp {
	if s.open && mark.reaches(s.to) {
		return mark
	}
	return s.to
}

// frozen returns the span as it ends at mark.
func (s *span) frozen(mark Stamp) span {
	return span{from: s.from, to: s.until(mark)}
}

// meets reports whether there is a snapshot that is in both.
func (s *span) meets(t *span, mark Stamp) bool {
	return s.until(mark).reaches(t.from) && t.until(mark).reaches(s.from)
}

// reaches reports whether s is a point of the same history as t, and not before
// it. Unlike Covers it takes an unknown history for a no.
func (s Stamp) reaches(t Stamp) bool {
	return s.epoch != 0 && s.epoch == t.epoch && s.snapshot.Covers(t.snapshot)
}

// newer returns the later of two points of one history, and t if s is of another:
// what comes last is of the newest.
func (s Stamp) newer(t Stamp) Stamp {
	if s.epoch == t.epoch {
		return s.Later(t)
	}
	return t
}
