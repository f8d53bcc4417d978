package weirtest

import (
	"reflect"
	"testing"
	"time"

	weir "weir/plugins/guest"
)

type sample struct {
	Me     string `claim:"sub"`
	Org    string `scope:"org"`
	RoomID int64
	Limit  int `json:"limit" weir:"min=1,default=20"`
	Before *int64
	SentAt time.Time `json:"at"`
	ID     [16]byte
	Raw    []byte
	More   weir.JSON
	Tags   []string
	Inner  []inner
	Hidden string `json:"-"`
}

type inner struct{ UserName string }

// TestArgumentsAreWhatAClientMaySend: what a client cannot set is left out, and so
// is what has a default; names are the SDK's.
func TestArgumentsAreWhatAClientMaySend(t *testing.T) {
	t.Parallel()
	f := func(args any, want string) {
		t.Helper()
		got, err := encodeArgs(args)
		if err != nil || string(got) != want {
			t.Errorf("got %s %v, want %s", got, err, want)
		}
	}
	before := int64(9007199254740993)
	f(nil, `{}`)
	f(map[string]any{"room": 1}, `{"room":1}`)
	f(sample{
		Me: "ann", Org: "x", RoomID: 7, SentAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), More: `{"a":1}`, Hidden: "h",
		Tags: []string{"a"}, Inner: []inner{{"bob"}}, Raw: []byte("hi"), ID: [16]byte{0xab},
	}, `{"at":"2026-01-02T03:04:05Z","id":"ab000000-0000-0000-0000-000000000000","inner":[{"user_name":"bob"}],"more":{"a":1},"raw":"aGk=","room_id":7,"tags":["a"]}`)
	f(&struct {
		Before *int64
		Limit  int `weir:"default=20"`
	}{&before, 3}, `{"before":9007199254740993,"limit":3}`)
}

// TestResultsAreReadByTheNamesOfTheSDK: exactly, also where encoding/json would
// find no field or lose digits, and what does not fit is said.
func TestResultsAreReadByTheNamesOfTheSDK(t *testing.T) {
	t.Parallel()
	var got []sample
	err := decodeInto([]byte(`[{"room_id":9007199254740993,"before":null,"at":"2026-01-02","id":"ab000000-0000-0000-0000-000000000000",
		"raw":"aGk=","more":{"a":1},"tags":["a"],"inner":[{"user_name":"bob"}],"new_column":1}]`), &got)
	want := []sample{{
		RoomID: 9007199254740993, SentAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), ID: [16]byte{0xab}, Raw: []byte("hi"), More: `{"a":1}`,
		Tags: []string{"a"}, Inner: []inner{{"bob"}},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v\nwant %+v", got, err, want)
	}
	for text, says := range map[string]string{
		`[{"room_id":"7"}]`:              `element 0: room_id: "7" does not fit the Go type int64`,
		`[{"inner":{}}]`:                 `element 0: inner: {} does not fit the Go type []weirtest.inner`,
		`[{"at":"soon"}]`:                `element 0: at: "soon" does not fit the Go type time.Time`,
		`[{"id":"no"}]`:                  `element 0: id: "no" does not fit the Go type [16]uint8`,
		`{}`:                             `{} does not fit the Go type []weirtest.sample`,
		`[{"inner":[{"user_name":[]}]}]`: `element 0: inner: element 0: user_name: [] does not fit the Go type string`,
	} {
		if err := decodeInto([]byte(text), &got); err == nil || err.Error() != says {
			t.Errorf("%s: got %v, want %s", text, err, says)
		}
	}
}
