package weir

import "testing"

func TestUntaggedNamesBecomeLowerSnakeCase(t *testing.T) {
	t.Parallel()
	f := func(in, want string) {
		t.Helper()
		if got := snake(in); got != want {
			t.Errorf("snake(%q) = %q, want %q", in, got, want)
		}
	}
	f("Room", "room")
	f("SentAt", "sent_at")
	f("RoomID", "room_id")
	f("ID", "id")
	f("HTTPServer", "http_server")
	f("UserID2", "user_id2")
	f("Line2Text", "line2_text")
	f("already_snake", "already_snake")
	f("A_B", "a_b")
	f("X", "x")
}
