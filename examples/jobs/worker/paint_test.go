package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// The same title gives the same picture, another one another, and no motif is
// one flat colour. The pictures go to $WEIR_ARTIFACTS for people to look at.
func TestMotifsPaint(t *testing.T) {
	t.Parallel()
	draw := func(style string, seed uint64) []byte {
		shade := motifs[style](rand.New(rand.NewPCG(seed, 1)))
		canvas := image.NewRGBA(image.Rect(0, 0, width, height))
		for y := range height {
			for x := range width {
				canvas.SetRGBA(x, y, shade(float64(x)/height, float64(y)/height))
			}
		}
		var out bytes.Buffer
		if err := jpeg.Encode(&out, canvas, nil); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for style := range motifs {
		one := draw(style, 3)
		if !bytes.Equal(one, draw(style, 3)) || bytes.Equal(one, draw(style, 4)) || len(one) < 6000 || len(one) > 200_000 {
			t.Errorf("%s: %d bytes", style, len(one))
		}
		if dir := os.Getenv("WEIR_ARTIFACTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "poster-"+style+".jpg"), one, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}
