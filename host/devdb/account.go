package devdb

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// account is the operating system user that the server runs as.
type account struct {
	name     string
	uid, gid uint32
	groups   []uint32
	other    bool // not the user of this process: credentials must be switched
}

// credential returns what a child needs to run as a, nil for this process's own
// user.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}

// own gives path to a. It does nothing when a is this process's own user.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// owns reports whether the file belongs to a.
func (a account) owns(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == a.uid
}

// accountsFor lists who may run the server on data, best first. PostgreSQL
// refuses root, so root gets other users; data that exists decides alone.
func accountsFor(data string) []account {
	if os.Geteuid() != 0 {
		return []account{{
			name: "uid " + strconv.Itoa(os.Geteuid()),
			uid:  uint32(os.Geteuid()), gid: uint32(os.Getegid()),
		}}
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			if a, ok := lookUp(user.LookupId(strconv.Itoa(int(st.Uid)))); ok {
				return []account{a}
			}
		}
	}
	var list []account
	if a, ok := lookUp(user.Lookup("postgres")); ok {
		list = append(list, a)
	}
	// initdb insists on a passwd entry, so a number alone is of no use.
	if id := os.Getenv("SUDO_UID"); id != "" && id != "0" {
		if a, ok := lookUp(user.LookupId(id)); ok {
			list = append(list, a)
		}
	}
	if a, ok := lookUp(user.Lookup("nobody")); ok {
		list = append(list, a)
	}
	return list
}

func lookUp(u *user.User, err error) (account, bool) {
	if err != nil {
		return account{}, false
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil || uid == 0 {
		return account{}, false
	}
	a := account{name: u.Username, uid: uint32(uid), gid: uint32(gid), other: true}
	ids, _ := u.GroupIds() // without the list the primary group must do
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	return a, true
}

// reaches reports whether a may enter dir: every directory on the way must let
// it through. Parts that do not exist yet count as open, the caller makes them.
func (a account) reaches(dir string) bool {
	if !a.other {
		return true
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for {
		info, err := os.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err == nil && !a.enters(info) {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func (a account) enters(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == a.uid:
		return mode&0o100 != 0
	case st.Gid == a.gid || slices.Contains(a.groups, st.Gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
