package abi

// Nearest returns the name of among that is most like name, or "".
func Nearest(name string, among []string) string { return "" }
