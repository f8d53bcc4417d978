package inspect

// Profile says what a child keeps when it confines itself: its three pipes, and
// what is named here.
type Profile struct {
	// Memory bounds what it may write to, Space its address space, which is more
	// by what is reserved and never used; both in bytes.
	Memory, Space uint64
	// Seconds bounds its computing time over its whole life.
	Seconds uint64
	// Files lets it make files in the directory that it was started in. Where the
	// kernel can confine it to that directory, Fence has.
	Files bool
	// FileBytes bounds each of them.
	FileBytes uint64
}

// sqlProfile is that of the child that reads SQL. It is at 350 MB when it is
// ready; the parser reserves 4 GiB of address space, and uses a few. It ends by
// itself before its seconds are used up.
var sqlProfile = Profile{Memory: 1 << 30, Space: 8 << 30, Seconds: 120}

// seconds is Seconds, and more under the race detector.
func (p Profile) seconds() uint64 {
	if raceDetector {
		return 8 * p.Seconds
	}
	return p.Seconds
}
