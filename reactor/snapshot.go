package reactor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot says which transactions a read saw: all below XMin, none from XMax
// on, and between them all that are not in XIP. It is PostgreSQL's pg_snapshot.
// The zero Snapshot saw nothing. A Snapshot is immutable.
//
// Snapshots of one primary (one Epoch) are totally ordered: what an earlier one
// saw, a later one sees too (F6).
type Snapshot struct {
	XMin, XMax uint64
	XIP        []uint64 // in progress when taken, ascending
}

var errSnapshot = errors.New("snapshot is not xmin:xmax:xip,…")

// ParseSnapshot reads the text form of pg_snapshot, "10:20:10,14".
func ParseSnapshot(text string) (Snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("%w: %q", errSnapshot, text)
	}
	xmin, err1 := strconv.ParseUint(parts[0], 10, 64)
	xmax, err2 := strconv.ParseUint(parts[1], 10, 64)
	if err1 != nil || err2 != nil || xmin > xmax {
		return Snapshot{}, fmt.Errorf("%w: %q", errSnapshot, text)
	}
	s := Snapshot{XMin: xmin, XMax: xmax}
	if parts[2] == "" {
		return s, nil
	}
	for field := range strings.SplitSeq(parts[2], ",") {
		xid, err := strconv.ParseUint(field, 10, 64)
		if err != nil || xid < xmin || xid >= xmax {
			return Snapshot{}, fmt.Errorf("%w: %q", errSnapshot, text)
		}
		s.XIP = append(s.XIP, xid)
	}
	slices.Sort(s.XIP)
	s.XIP = slices.Compact(s.XIP) // Compare counts them
	return s, nil
}

// String returns the text form of pg_snapshot.
func (s Snapshot) String() string {
	b := strconv.AppendUint(nil, s.XMin, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, s.XMax, 10)
	b = append(b, ':')
	for i, xid := range s.XIP {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, xid, 10)
	}
	return string(b)
}

// IsZero reports whether s is the zero Snapshot, which saw nothing.
func (s Snapshot) IsZero() bool { return s.XMax == 0 }

// Visible reports whether the read saw what transaction xid wrote.
func (s Snapshot) Visible(xid uint64) bool {
	if xid < s.XMin {
		return true
	}
	if xid >= s.XMax {
		return false
	}
	_, running := slices.BinarySearch(s.XIP, xid)
	return !running
}

// Compare orders snapshots of one epoch by time: a later one has a higher XMax,
// or the same and fewer transactions in progress (F6).
func (s Snapshot) Compare(t Snapshot) int {
	if c := cmp.Compare(s.XMax, t.XMax); c != 0 {
		return c
	}
	return cmp.Compare(len(t.XIP), len(s.XIP))
}

// Covers reports whether s saw everything that t saw.
func (s Snapshot) Covers(t Snapshot) bool { return s.Compare(t) >= 0 }

// Epoch names one history of one database server. Snapshots of different epochs
// cannot be compared: after a crash or failover transaction numbers may come
// again (C4). The empty Epoch is unknown and equals nothing.
type Epoch string

// Same reports whether e and f are the same known history.
func (e Epoch) Same(f Epoch) bool { return e != "" && e == f }
