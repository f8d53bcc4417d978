package inspect

import (
	"testing"

	"pgregory.net/rapid"
)

// The halves of a meter do not run into each other, whatever is taken off.
func TestMeterHalves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fuel, room := rapid.Int32Range(-1<<30, 1<<30).Draw(t, "fuel"), rapid.Int32Range(-1<<30, 1<<30).Draw(t, "room")
		m := NewMeter(fuel, room)
		if m.Fuel() != fuel || m.Room() != room {
			t.Fatalf("%d and %d come back as %d and %d", fuel, room, m.Fuel(), m.Room())
		}
		price, frame := rapid.Int32Range(0, maxCost).Draw(t, "price"), rapid.Int32Range(0, 1<<20).Draw(t, "frame")
		paid := m - Meter(int64(frame)<<32+int64(price))
		if paid.Fuel() != fuel-price || paid.Room() != room-frame {
			t.Fatalf("%d and %d less %d and %d are %d and %d", fuel, room, price, frame, paid.Fuel(), paid.Room())
		}
		if used := int64(paid)&usedUp != 0; used != (fuel-price < 0 || room-frame < 0) {
			t.Fatalf("used up is %v with %d and %d", used, fuel-price, room-frame)
		}
		units := rapid.IntRange(0, 1<<40).Draw(t, "units")
		if less := m.Less(units); less.Room() != room || less.Fuel() > fuel || units > 0 && less.Fuel() >= 0 && int64(less.Fuel()) != int64(fuel)-int64(units) {
			t.Fatalf("%d less %d is %d, room %d of %d", fuel, units, less.Fuel(), less.Room(), room)
		}
	})
}
