package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

const (
	width, height = 640, 400
	strokes       = 40 // the picture is painted in as many strips
)

// paint paints a poster strip by strip and stores it.
func (w *worker) paint(ctx context.Context, j *job) error {
	var input struct{ Title, Style string }
	if err := json.Unmarshal(j.Input, &input); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	motif := motifs[input.Style]
	if motif == nil {
		return fmt.Errorf("nobody knows the style %q", input.Style)
	}
	seed := fnv.New64a()
	seed.Write([]byte(input.Title))
	shade := motif(rand.New(rand.NewPCG(seed.Sum64(), 1)))
	canvas := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range strokes {
		for y := i * height / strokes; y < (i+1)*height/strokes; y++ {
			for x := range width {
				canvas.SetRGBA(x, y, shade(float64(x)/height, float64(y)/height))
			}
		}
		if err := w.progress(ctx, j, float64(100*(i+1)/(strokes+1)), fmt.Sprintf("strip %d of %d", i+1, strokes)); err != nil {
			return err
		}
		w.rest(ctx, w.pace)
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, canvas, &jpeg.Options{Quality: 88}); err != nil {
		return err
	}
	size := map[string]int{"width": width, "height": height, "bytes": out.Len()}
	return w.finish(ctx, j, size, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `update posters set picture = $1 where job_id = $2::text::uuid`, out.Bytes(), j.ID)
		return err
	})
}

// motifs make a shader: the colour at x (0 to 1.6) and y (0 to 1, downwards).
var motifs = map[string]func(*rand.Rand) func(x, y float64) color.RGBA{
	"dunes": dunes, "waves": waves, "stars": stars,
}

// dunes are ridges under a low sun.
func dunes(r *rand.Rand) func(x, y float64) color.RGBA {
	warm := r.Float64() * 24
	sunX, sunY, size := 0.35+r.Float64()*0.9, 0.24+r.Float64()*0.12, 0.09+r.Float64()*0.05
	var shift [5]float64
	for i := range shift {
		shift[i] = r.Float64() * 6.28
	}
	return func(x, y float64) color.RGBA {
		for i := len(shift) - 1; i >= 0; i-- {
			n := float64(i)
			ridge := 0.47 + 0.115*n + (0.05+0.012*n)*math.Sin(x*(2.1-0.22*n)+shift[i]) + 0.018*math.Sin(x*5.3+2*shift[i])
			if y > ridge {
				return hsl(14+warm-2*n, 0.62-0.03*n, 0.62-0.105*n+0.16*math.Exp(-(y-ridge)*14))
			}
		}
		if d := math.Hypot(x-sunX, y-sunY); d < size {
			return hsl(44+warm/2, 0.95, 0.80)
		} else {
			glow := 0.22 * math.Exp(-(d-size)*5)
			return hsl(28+warm-26*y, 0.78, 0.60+0.26*y+glow)
		}
	}
}

// waves are bands that move against each other.
func waves(r *rand.Rand) func(x, y float64) color.RGBA {
	hue := 165 + r.Float64()*60
	a, b, c := r.Float64()*6.28, r.Float64()*6.28, 2.2+r.Float64()*1.6
	return func(x, y float64) color.RGBA {
		bend := 0.07*math.Sin(x*c+a) + 0.045*math.Sin(x*2.3*c+b) + 0.02*math.Sin(7*y+3*x+a)
		band := (y + bend) * 11
		n, inside := math.Floor(band), band-math.Floor(band)
		foam := math.Exp(-inside * 9)
		return hsl(hue+4*n*math.Sin(n*1.7+b), 0.52+0.10*math.Sin(n+a), 0.30+0.034*(11-n)+0.22*foam)
	}
}

// stars are a night over mountains.
func stars(r *rand.Rand) func(x, y float64) color.RGBA {
	hue := 225 + r.Float64()*50
	type star struct{ x, y, size, light float64 }
	sky := make([]star, 150)
	for i := range sky {
		sky[i] = star{r.Float64() * 1.6, r.Float64() * 0.8, 0.0012 + 0.0022*math.Pow(r.Float64(), 4), 0.4 + 0.6*r.Float64()}
	}
	moonX, moonY := 0.3+r.Float64(), 0.2+r.Float64()*0.1
	a, b := r.Float64()*6.28, r.Float64()*6.28
	return func(x, y float64) color.RGBA {
		for i := 2; i >= 0; i-- {
			n := float64(i)
			peak := 0.72 + 0.10*n - 0.17*(1-math.Abs(math.Sin(x*(2.1+n)+a+2*n))) - 0.035*(1-math.Abs(math.Sin(x*(8+3*n)+b)))
			if y > peak {
				return hsl(hue+6*n, 0.34, 0.20-0.055*n+0.05*math.Exp(-(y-peak)*9))
			}
		}
		light := 0.0
		for _, s := range sky {
			if d := math.Hypot(x-s.x, y-s.y); d < 3*s.size {
				light = max(light, s.light*math.Exp(-d*d/(s.size*s.size)))
			}
		}
		if d := math.Hypot(x-moonX, y-moonY); d < 0.075 {
			if math.Hypot(x-moonX-0.032, y-moonY+0.012) > 0.066 {
				return hsl(48, 0.55, 0.88)
			}
		} else {
			light = max(light, 0.16*math.Exp(-(d-0.075)*9))
		}
		return hsl(hue+30*y, 0.55-0.25*light, min(0.96, 0.09+0.30*y*y+0.8*light))
	}
}

// hsl makes a colour of hue in degrees, saturation and lightness.
func hsl(h, s, l float64) color.RGBA {
	l, s = min(max(l, 0), 1), min(max(s, 0), 1)
	part := func(n float64) uint8 {
		k := math.Mod(n+h/30+24, 12)
		return uint8(255 * (l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1))))
	}
	return color.RGBA{part(0), part(8), part(4), 255}
}
