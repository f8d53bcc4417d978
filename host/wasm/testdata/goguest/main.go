// Command goguest is a plugin whose functions do what Go's runtime finds hard in
// a cage: sleep, start goroutines, collect garbage, block, panic, exit and use
// up memory.
package main

// It links neither fmt nor os, which would double the time to compile it.
import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	weir "weir/plugins/guest"
)

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func randomGet(buf unsafe.Pointer, n uint32) uint32

type none struct{}

type answer struct {
	Number int64
	Text   string
}

type item struct {
	ID   int64
	Name string
}

var items = weir.Select[none, item](`select id, name from items order by id`)

func sleep(*weir.Call, none) (answer, error) {
	began := time.Now()
	time.Sleep(3 * time.Hour)
	done := make(chan bool)
	go func() {
		select {
		case <-time.After(time.Hour):
		case <-time.After(48 * time.Hour):
		}
		close(done)
	}()
	<-done
	return answer{int64(time.Since(began)), time.Now().UTC().Format(time.RFC3339Nano)}, nil
}

func goroutines(*weir.Call, none) (answer, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := int64(0)
	for i := range int64(100) {
		wg.Go(func() {
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			sum += i
		})
	}
	wg.Wait()
	return answer{Number: sum}, nil
}

var kept [][]byte

func collect(*weir.Call, none) (answer, error) {
	for range 200 {
		kept = append(kept[:min(len(kept), 3)], make([]byte, 100_000))
		runtime.GC()
	}
	return answer{Number: int64(len(kept))}, nil
}

func shuffle(*weir.Call, none) (answer, error) {
	m := map[int]bool{}
	for i := range 50 {
		m[i] = true
	}
	b := make([]byte, 8)
	if errno := randomGet(unsafe.Pointer(&b[0]), 8); errno != 0 {
		return answer{}, weir.Fail("random", "errno "+strconv.Itoa(int(errno)))
	}
	return answer{int64(len(m)), strconv.Quote(string(b))}, nil
}

func files(*weir.Call, none) (answer, error) {
	text := "opened"
	if _, err := syscall.Open("/etc/passwd", syscall.O_RDONLY, 0); err != nil {
		text = err.Error()
	}
	return answer{int64(len(syscall.Environ())), text}, nil
}

func block(*weir.Call, none) (answer, error) {
	<-make(chan bool)
	return answer{}, nil
}

func crash(*weir.Call, none) (answer, error) {
	var m map[string]int
	m["x"] = 1
	return answer{}, nil
}

func exit(*weir.Call, none) (answer, error) {
	syscall.Exit(3)
	return answer{}, nil
}

func memory(*weir.Call, none) (answer, error) {
	for {
		kept = append(kept, make([]byte, 1<<20))
	}
}

func deep(n int64) int64 {
	if n == 0 {
		return 0
	}
	return deep(n+1) + n
}

func recurse(*weir.Call, none) (answer, error) { return answer{Number: deep(1)}, nil }

func spin(*weir.Call, none) (answer, error) {
	for {
	}
}

func read(c *weir.Call, _ none) (answer, error) {
	all, err := items.All(c, none{})
	if err != nil {
		return answer{}, err
	}
	return answer{int64(len(all)), all[len(all)-1].Name}, nil
}

func pass(c *weir.Call, _ none) (weir.Rows[item], error) { return items.Rows(c, none{}) }

type whom struct{ Name string }

// What remember keeps from one call to the next, if it can.
var (
	last   string
	seen   = map[string]int{}
	closed func() string
	pool   sync.Pool
	never  = make(chan bool)
	began  = time.Now()
)

// remember tells all that it knows of earlier calls, and keeps all that it can of
// this one.
func remember(_ *weir.Call, who whom) (answer, error) {
	text := last + "," + strconv.Itoa(len(seen)) + "," + strconv.Itoa(runtime.NumGoroutine()) + "," + time.Since(began).String() +
		"," + strconv.FormatUint(rand.Uint64(), 36)
	if closed != nil {
		text += "," + closed()
	}
	if s, ok := pool.Get().(string); ok {
		text += "," + s
	}
	told := answer{int64(len(kept)), text}
	last = who.Name
	seen[who.Name]++
	closed = func() string { return who.Name }
	pool.Put(who.Name)
	kept = append(kept, []byte(who.Name))
	go func() {
		<-never
		last = who.Name
	}()
	time.Sleep(time.Hour)
	return told, nil
}

func empty(*weir.Call, none) (answer, error) { return answer{}, nil }

func init() {
	weir.Plugin("goguest", "1.0.0")
	for name, f := range map[string]*weir.Function{
		"sleep": weir.Func(sleep), "goroutines": weir.Func(goroutines), "collect": weir.Func(collect),
		"shuffle": weir.Func(shuffle), "files": weir.Func(files), "block": weir.Func(block),
		"crash": weir.Func(crash), "exit": weir.Func(exit), "memory": weir.Func(memory),
		"recurse": weir.Func(recurse), "spin": weir.Func(spin), "empty": weir.Func(empty),
	} {
		weir.Query("test."+name, f, weir.SignedIn())
	}
	weir.Query("test.remember", weir.Func(remember), weir.SignedIn())
	weir.Query("test.read", weir.Func(read), weir.SignedIn(), weir.Uses(items))
	weir.Query("test.pass", weir.Func(pass), weir.SignedIn(), weir.Uses(items))
}

func main() {}
