package wasm
import ("testing";"os";"time";"weir/abi")
func TestZZ(t *testing.T){
 e,err:=os.ReadFile("/tmp/jsx/engine.wasm"); if err!=nil {t.Fatal(err)}
 began:=time.Now()
 m,err:=shared.Compiler().CompileSource(t.Context(),e,"a.js",os.Getenv("JS")); if err!=nil {t.Fatal(err)}
 t.Log("compile",time.Since(began))
 p,err:=NewPool(shared,m,PoolConfig{Log:func(l int,s string){t.Log(l,s)}}); if err!=nil {t.Fatal(err)}
 began=time.Now()
 d,err:=p.Describe(t.Context())
 t.Log("describe",time.Since(began))
 if err!=nil {t.Fatal(err)}
 v,err:=abi.DecodeCBOR(d)
 t.Log(v.String(),err)
 began=time.Now()
 for range 20 { p.start(t.Context(),[32]byte{},time.Now()) }
 t.Log("start",time.Since(began)/20)
}
