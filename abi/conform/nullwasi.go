package conform

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// WASI's error numbers.
const (
	wasiBadf  = 8
	wasiFault = 21
	wasiInval = 28
	wasiNosys = 52
)

// wasi answers the part of WASI preview 1 that a host of the contract has.
func (h *nullHost) wasi(name string, m Memory, p []uint64) (uint64, error) {
	u32 := func(at uint64, v uint32) bool { return m.Write(uint32(at), binary.LittleEndian.AppendUint32(nil, v)) }
	u64 := func(at, v uint64) bool { return m.Write(uint32(at), binary.LittleEndian.AppendUint64(nil, v)) }
	ok := true
	switch name {
	case "args_get", "environ_get", "sched_yield":
	case "args_sizes_get", "environ_sizes_get":
		ok = u32(p[0], 0) && u32(p[1], 0)
	case "clock_res_get":
		ok = u64(p[1], 1000)
	case "clock_time_get":
		switch uint32(p[0]) {
		case 0:
			ok = u64(p[2], uint64(h.now)*1000)
		case 1:
			ok = u64(p[2], h.ticks)
		default:
			return wasiInval, nil
		}
	case "random_get":
		ok = h.fill(m, p) == 0
	case "fd_write":
		return h.write(m, p), nil
	case "poll_oneoff":
		return h.poll(m, p), nil
	case "fd_prestat_get", "fd_prestat_dir_name":
		return wasiBadf, nil
	case "proc_exit":
		return 0, h.end(fmt.Sprintf("it exited with status %d", uint32(p[0])))
	default:
		return wasiNosys, nil
	}
	if !ok {
		return wasiFault, nil
	}
	return 0, nil
}

// write takes what goes to standard output and standard error, and keeps the
// first line of an instance's last words.
func (h *nullHost) write(m Memory, p []uint64) uint64 {
	if fd := uint32(p[0]); fd != 1 && fd != 2 {
		return wasiBadf
	}
	vectors, ok := m.Read(uint32(p[1]), 8*uint32(min(p[2], 1024)))
	if !ok || uint32(p[2]) > 1024 {
		return wasiFault
	}
	total := uint32(0)
	for ; len(vectors) > 0; vectors = vectors[8:] {
		b, ok := m.Read(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return wasiFault
		}
		total += uint32(len(b))
		if !bytes.ContainsRune([]byte(h.said), '\n') && len(h.said) < 300 {
			h.said += string(b)
		}
	}
	if !m.Write(uint32(p[3]), binary.LittleEndian.AppendUint32(nil, total)) {
		return wasiFault
	}
	return 0
}

// poll returns at once: the monotonic clock goes on to the earliest timeout, and
// who waits for a file is told that there is none (G10).
func (h *nullHost) poll(m Memory, p []uint64) uint64 {
	const size, eventSize = 48, 32
	count := uint32(p[2])
	if count == 0 || count > 1024 {
		return wasiInval
	}
	subs, ok := m.Read(uint32(p[0]), count*size)
	if !ok {
		return wasiFault
	}
	began, earliest, files := h.ticks, ^uint64(0), false
	due := func(s []byte) uint64 {
		at := binary.LittleEndian.Uint64(s[24:])
		if s[40]&1 != 0 && binary.LittleEndian.Uint32(s[16:]) == 1 {
			return max(began, at)
		}
		if s[40]&1 != 0 {
			at -= min(at, uint64(h.now)*1000)
		}
		return began + min(at, 1<<61)
	}
	for i := range count {
		if s := subs[i*size:]; s[8] == 0 {
			earliest = min(earliest, due(s))
		} else {
			files = true
		}
	}
	if !files {
		h.ticks = max(began, min(earliest, 1<<62))
	}
	var events []byte
	for i := range count {
		s := subs[i*size:]
		clock := s[8] == 0
		if clock && (files || due(s) > h.ticks) {
			continue
		}
		var e [eventSize]byte
		copy(e[:8], s[:8])
		if e[10] = s[8]; !clock {
			e[8] = wasiBadf
		}
		events = append(events, e[:]...)
	}
	if !m.Write(uint32(p[1]), events) || !m.Write(uint32(p[3]), binary.LittleEndian.AppendUint32(nil, uint32(len(events)/eventSize))) {
		return wasiFault
	}
	return 0
}
