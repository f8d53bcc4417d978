package abi

import "strconv"

// Nearest returns the name of among that name was most likely meant to be, or
// "" when none is near: at most a third of its letters, and at least one, may
// differ. Of equally near names the first counts.
func Nearest(name string, among []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, other := range among {
		if d := distance(name, other, least); d < least {
			best, least = other, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make b of a; limit or more is not told apart.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > maxName || len(b) > maxName {
		return limit
	}
	// Three rows of the matrix: two back, one back, this.
	var back, last, row [maxName + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], back[j-2]+1)
			}
		}
		back, last = last, row
	}
	return last[len(b)]
}

// meant returns `: did you mean "room"?`, or "".
func meant(name string, among []string) string {
	if n := Nearest(name, among); n != "" {
		return ": did you mean " + strconv.Quote(n) + "?"
	}
	return ""
}
