package calls

import "testing"

// A key is of one principal and one function; parts that look like the end of one
// and the beginning of the next are other parts.
func TestNewCall(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	add := func(principal, function, key string) {
		t.Helper()
		k := string(NewCall(principal, function, key, nil).key)
		if other, known := seen[k]; known {
			t.Errorf("%s %s %s is the call of %s", principal, function, key, other)
		}
		seen[k] = principal + " " + function + " " + key
	}
	add("i ann", "post", "k")
	add("i bob", "post", "k")
	add("i ann", "pos", "tk")
	add("i annpost", "", "k")
	add("", "i annpost", "k")
	add("", "post", "k")
	if a, b := NewCall("p", "f", "k", []byte("1")), NewCall("p", "f", "k", []byte("2")); string(a.key) != string(b.key) || string(a.request) == string(b.request) {
		t.Error("the arguments are part of the key, or of nothing")
	}
}
