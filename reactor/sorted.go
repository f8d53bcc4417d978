package reactor

// sorted is a batch with its changes by table, in the order in which the tables
// come first: a core passes over those that nobody of its tenant reads. It is
// made once for all cores and not changed after.
type sorted struct {
	*Batch
	ddl    []*Change
	tables []tableChanges
}

// tableChanges are the changes of one table in the order of the batch.
type tableChanges struct {
	table   uint32
	changes []*Change
}

func sortBatch(b *Batch) *sorted {
	s := &sorted{Batch: b}
	places := map[uint32]int{}
	at, last := 0, uint32(0)
	for i := range b.Changes {
		c := &b.Changes[i]
		if c.Op == DDL {
			s.ddl = append(s.ddl, c)
			continue
		}
		if c.Table != last || len(s.tables) == 0 { // mostly it is the same again
			known := false
			if at, known = places[c.Table]; !known {
				at = len(s.tables)
				places[c.Table] = at
				s.tables = append(s.tables, tableChanges{table: c.Table})
			}
			last = c.Table
		}
		s.tables[at].changes = append(s.tables[at].changes, c)
	}
	return s
}
