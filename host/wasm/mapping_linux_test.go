package wasm

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// G12: what all instances are born from cannot be changed, shortened or inherited,
// and what one of them writes is its own.
func TestImageIsSealed(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("image..."), 3*osPage/8)
	m, err := newMapping(data)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if _, err := unix.Pwrite(m.fd, []byte("x"), 0); err == nil {
		t.Error("the image was written to")
	}
	if err := unix.Ftruncate(m.fd, 0); err == nil {
		t.Error("the image was shortened")
	}
	if _, err := unix.Mmap(m.fd, 0, osPage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		t.Error("the image was mapped to be shared and written to")
	}
	if flags, err := unix.FcntlInt(uintptr(m.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child would inherit it: %x %v", flags, err)
	}
	var spaces [2][]byte
	for n := range spaces {
		if spaces[n], err = m.born(1 << 20); err != nil {
			t.Fatal(err)
		}
		defer unmap(spaces[n])
	}
	copy(spaces[0], "mine")
	if !bytes.Equal(spaces[1][:len(data)], data) || !bytes.Equal(m.data, data) {
		t.Error("what one writes is seen by others")
	}
	if err := open(spaces[0][len(data) : len(data)+osPage]); err != nil {
		t.Fatal(err)
	}
	spaces[0][len(data)] = 1
	if err := discard(spaces[0][:len(data)+osPage]); err != nil || !bytes.Equal(spaces[0][:len(data)], data) || spaces[0][len(data)] != 0 {
		t.Errorf("what was discarded is still there (%v)", err)
	}
}

// A sweep finds more pieces than the kernel tells at once, keeps some, and drops all
// when they are too many.
func TestSweepFindsEveryPiece(t *testing.T) {
	t.Parallel()
	const pages = 400
	m, err := newMapping(bytes.Repeat([]byte{7}, pages*osPage))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	space, err := m.born(pages * osPage)
	if err != nil {
		t.Fatal(err)
	}
	defer unmap(space)
	s := newSweeper(space)
	if s == nil {
		t.Skip("this kernel cannot say what was written")
	}
	f := func(step int, kept uint64) {
		t.Helper()
		for at := 0; at < pages; at += step {
			space[at*osPage+at] = 9
		}
		if !s.sweep(space, m.data) || !bytes.Equal(space, m.data) {
			t.Errorf("every %d pages: not restored at %v", step, differing(space, m.data))
		}
		if s.kept != kept*osPage {
			t.Errorf("every %d pages: %d are kept, want %d", step, s.kept/osPage, kept)
		}
	}
	f(100, 4)
	f(4, 100) // more than fit into one answer; those before are among them
	f(2, 0)   // too many
	f(50, 8)
	s.swept = maxSweeps - 1
	f(100, 0) // its time has come
}
