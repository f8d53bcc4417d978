//go:build !linux

package load

// Bounds are the limits of this process and machine.
type Bounds struct {
	Descriptors int64 // open files, of each process
	Memory      int64 // bytes that are free; 0 when it is not known
}

// RaiseBounds knows nothing here.
func RaiseBounds() Bounds { return Bounds{} }
