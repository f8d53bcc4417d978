;; The adapter between QuickJS and the contract: see doc.go. Functions whose name
;; is not here are QuickJS's own.

(import "weir_1" "query" (func $query (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "query_sql" (func $query_sql (param i32) (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "exec" (func $exec (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "rows_affected" (func $rows_affected (param i32) (result i64)))
(import "weir_1" "rows_len" (func $rows_len (param i32) (result i32)))
(import "weir_1" "rows_read" (func $rows_read (param i32) (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "rows_columns" (func $rows_columns (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "rows_pick" (func $rows_pick (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "rows_project" (func $rows_project (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "rows_nest" (func $rows_nest (param i32) (param i32) (param i32) (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "close" (func $close (param i32) (result i32)))
(import "weir_1" "now" (func $now (result i64)))
(import "weir_1" "wake_at" (func $wake_at (param i64) (result i32)))
(import "weir_1" "random" (func $random (param i32) (param i32) (result i32)))
(import "weir_1" "log" (func $log (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "config" (func $config (param i32) (param i32) (param i32) (param i32) (result i32)))
(import "weir_1" "error" (func $error (param i32) (param i32) (result i32)))

(global $rt i32)      ;; JSRuntime *
(global $ctx i32)     ;; JSContext *
(global $entry i64)   ;; the SDK's function that all calls go through
(global $scratch i32) ;; 96 bytes: results by pointer, arguments of enter at 16, of rejected at 64
(global $in i32)      ;; the input buffer, which the host writes
(global $in.size i32)
(global $io i32)      ;; the SDK's own: arguments, pages, results
(global $io.size i32)

;; What QuickJS's package imports from its own JavaScript: there is none.
(func $env.host_get_timezone_offset (param i32) (param i32) (result i32) (i32.const 0))
(func $env.host_interrupt (result i32) (i32.const 0))
(func $env.host_promise_rejection (param i32) (param i32) (param i32))
(func $env.host_module_normalize (param i32) (param i32) (result i32) (i32.const 0))
(func $env.host_module_load (param i32) (param i32) (result i32) (i32.const 0))
(func $env.host_call (param i32) (param i32) (param i32) (param i32) (param i32) (result i32) (unreachable))

;; Memory that is not there ends the guest: the host knows that it refused it.
(func $allocate (param $n i32) (result i32) (local $at i32)
  (local.set $at (call $malloc (local.get $n)))
  (if (i32.eqz (local.get $at)) (then (unreachable)))
  (local.get $at))

(func $weir_buf (export "weir_buf") (param $min i32) (result i32)
  (if (i32.gt_u (local.get $min) (global.get $in.size)) (then
    (call $free (global.get $in))
    (global.set $in (call $allocate (local.get $min)))
    (global.set $in.size (local.get $min))))
  (global.get $in))

;; source(length): the plugin's name and text are in the input buffer.
(func $weir_source (export "weir_source") (param $length i32) (result i64)
  (if (i32.eqz (global.get $ctx)) (then (call $start)))
  (call $enter (i32.const 0) (local.get $length) (i32.const 0)))

(func $weir_describe (export "weir_describe") (result i64)
  (if (i32.eqz (global.get $ctx)) (then (call $start)))
  (call $enter (i32.const 1) (i32.const 0) (i32.const 0)))

(func $weir_call (export "weir_call") (param $function i32) (param $length i32) (result i64)
  (call $enter (i32.const 2) (local.get $function) (local.get $length)))

;; start makes the JavaScript world and evaluates the SDK in it, which gives a
;; function of the host functions that gives the entry.
(func $start (local $sdk i32) (local $functions i64) (local $i i32) (local $made i64)
  (global.set $scratch (call $allocate (i32.const 96)))
  (global.set $io.size (i32.const 65536))
  (global.set $io (call $allocate (global.get $io.size)))
  (global.set $rt (call $JS_NewRuntime))
  (call $JS_SetMaxStackSize (global.get $rt) (i32.const 262144)) ;; of the mebibyte that the package is linked with
  (global.set $ctx (call $JS_NewContext (global.get $rt)))
  (if (i32.eqz (global.get $ctx)) (then (unreachable)))
  (local.set $functions (call $JS_NewArray (global.get $ctx)))
  (loop $more
    (drop (call $JS_SetPropertyUint32 (global.get $ctx) (local.get $functions) (local.get $i)
      (call $JS_NewCFunction2 (global.get $ctx) (i32.add (i32.const $table) (local.get $i)) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $i) (i32.sub (i32.const $table.count) (i32.const 1)))))
  (call $JS_SetHostPromiseRejectionTracker (global.get $rt) (i32.add (i32.const $table) (local.get $i)) (i32.const 0))
  ;; The data is the SDK, a zero, and the name of its file, with a zero.
  (local.set $sdk (call $allocate (i32.const $sdk.size)))
  (memory.init $sdk (local.get $sdk) (i32.const 0) (i32.const $sdk.size))
  (local.set $made (call $check (call $JS_Eval (global.get $ctx) (local.get $sdk) (i32.const $sdk.length)
    (i32.add (local.get $sdk) (i32.const $sdk.name)) (i32.const 0))))
  (call $free (local.get $sdk))
  (i64.store (global.get $scratch) (local.get $functions))
  (global.set $entry (call $check (call $JS_Call (global.get $ctx) (local.get $made) (i64.const 0x300000000) (i32.const 1) (global.get $scratch))))
  (call $JS_FreeValue (global.get $ctx) (local.get $functions))
  (call $JS_FreeValue (global.get $ctx) (local.get $made)))

;; enter calls the entry. It gives a tag times 2^32 plus a length or a handle; what
;; has a length is at the beginning of $io.
(func $enter (param $what i32) (param $a i32) (param $b i32) (result i64) (local $value i64) (local $tag i64)
  (i64.store offset=16 (global.get $scratch) (call $number (f64.convert_i32_u (local.get $what))))
  (i64.store offset=24 (global.get $scratch) (call $number (f64.convert_i32_u (local.get $a))))
  (i64.store offset=32 (global.get $scratch) (call $number (f64.convert_i32_u (local.get $b))))
  (local.set $value (call $check (call $JS_Call (global.get $ctx) (global.get $entry) (i64.const 0x300000000) (i32.const 3)
    (i32.add (global.get $scratch) (i32.const 16)))))
  (drop (call $JS_ToInt64Ext (global.get $ctx) (global.get $scratch) (local.get $value)))
  (call $JS_FreeValue (global.get $ctx) (local.get $value))
  (local.set $value (i64.load (global.get $scratch)))
  (local.set $tag (i64.shl (i64.shr_u (local.get $value) (i64.const 32)) (i64.const 60)))
  (local.set $value (i64.and (local.get $value) (i64.const 0xffffffff)))
  (if (i64.eq (local.get $tag) (i64.const 0x1000000000000000)) (then
    (return (i64.or (local.get $tag) (i64.shl (local.get $value) (i64.const 30))))))
  (if (i64.eq (local.get $tag) (i64.const 0x3000000000000000)) (then (return (local.get $tag))))
  (i64.or (local.get $tag) (i64.or (local.get $value) (i64.shl (i64.extend_i32_u (global.get $io)) (i64.const 30)))))

;; rejected tells the SDK of a promise that failed and that nobody waits for, or
;; that somebody does after all.
(func $rejected (param $c i32) (param $promise i64) (param $reason i64) (param $handled i32) (param $opaque i32)
  (if (i64.eq (global.get $entry) (i64.const 0)) (then (return)))
  (i64.store offset=64 (global.get $scratch) (call $number (f64.const 3)))
  (i64.store offset=72 (global.get $scratch) (local.get $promise))
  (i64.store offset=80 (global.get $scratch) (local.get $reason))
  (i64.store offset=88 (global.get $scratch) (call $number (f64.convert_i32_u (local.get $handled))))
  (call $JS_FreeValue (global.get $ctx) (call $check (call $JS_Call (global.get $ctx) (global.get $entry) (i64.const 0x300000000) (i32.const 4)
    (i32.add (global.get $scratch) (i32.const 64))))))

;; check ends the guest when a value is the mark of an exception, which the SDK
;; catches unless there is no memory or no stack left for it.
(func $check (param $value i64) (result i64) (local $text i32)
  (if (i64.eq (i64.shr_u (local.get $value) (i64.const 32)) (i64.const 6)) (then
    (local.set $text (call $JS_ToCStringLen2 (global.get $ctx) (global.get $scratch) (call $JS_GetException (global.get $ctx)) (i32.const 0)))
    (if (local.get $text) (then
      (drop (call $log (i32.const 3) (local.get $text) (i32.load (global.get $scratch))))))
    (unreachable)))
  (local.get $value))

(func $number (param $value f64) (result i64) (call $JS_NewNumber (global.get $ctx) (local.get $value)))

(func $int64 (param $argv i32) (param $i i32) (result i64)
  (drop (call $JS_ToInt64Ext (global.get $ctx) (global.get $scratch)
    (i64.load (i32.add (local.get $argv) (i32.shl (local.get $i) (i32.const 3))))))
  (i64.load (global.get $scratch)))

(func $int (param $argv i32) (param $i i32) (result i32)
  (i32.wrap_i64 (call $int64 (local.get $argv) (local.get $i))))

;; What the SDK gets as an array of functions, in the order of the table.
(elem $js.query $js.querySQL $js.exec $js.rowsAffected $js.rowsLen $js.rowsRead $js.rowsColumns $js.rowsPick $js.rowsProject $js.rowsNest $js.close $js.now $js.wakeAt $js.random $js.log $js.config $js.error $js.text $js.put $js.input $js.output $js.eval $js.jobs $js.trap
  $rejected) ;; the last one is not among the array

(func $js.query (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $query (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.querySQL (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $query_sql (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 0))) (call $int (local.get $argv) (i32.const 1)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 2))) (call $int (local.get $argv) (i32.const 3))))))

(func $js.exec (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $exec (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.rowsAffected (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i64_s (call $rows_affected (call $int (local.get $argv) (i32.const 0))))))

(func $js.rowsLen (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_len (call $int (local.get $argv) (i32.const 0))))))

(func $js.rowsRead (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_read (call $int (local.get $argv) (i32.const 0)) (call $int (local.get $argv) (i32.const 1)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 2))) (call $int (local.get $argv) (i32.const 3))))))

(func $js.rowsColumns (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_columns (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.rowsPick (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_pick (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.rowsProject (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_project (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.rowsNest (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $rows_nest (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2)) (call $int (local.get $argv) (i32.const 3)) (call $int (local.get $argv) (i32.const 4)) (call $int (local.get $argv) (i32.const 5))))))

(func $js.close (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $close (call $int (local.get $argv) (i32.const 0))))))

(func $js.now (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i64_s (call $now))))

(func $js.wakeAt (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $wake_at (call $int64 (local.get $argv) (i32.const 0))))))

(func $js.random (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $random (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 0))) (call $int (local.get $argv) (i32.const 1))))))

(func $js.log (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $log (call $int (local.get $argv) (i32.const 0)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (call $int (local.get $argv) (i32.const 2))))))

(func $js.config (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $config (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 0))) (call $int (local.get $argv) (i32.const 1)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 2))) (call $int (local.get $argv) (i32.const 3))))))

(func $js.error (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (call $number (f64.convert_i32_s (call $error (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 0))) (call $int (local.get $argv) (i32.const 1))))))

(func $js.text (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) ;; (input, at, length): the text in a buffer, the input's or the other
  (call $JS_NewStringLen (global.get $ctx)
    (i32.add (if (result i32) (call $int (local.get $argv) (i32.const 0)) (then (global.get $in)) (else (global.get $io))) (call $int (local.get $argv) (i32.const 1)))
    (call $int (local.get $argv) (i32.const 2))))

(func $js.put (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) (local $text i32) (local $length i32) ;; (text, at, size): its length in UTF-8; written if it fits
  (local.set $text (call $JS_ToCStringLen2 (global.get $ctx) (global.get $scratch) (i64.load (local.get $argv)) (i32.const 0)))
  (if (i32.eqz (local.get $text)) (then (unreachable)))
  (local.set $length (i32.load (global.get $scratch)))
  (if (i32.le_u (local.get $length) (call $int (local.get $argv) (i32.const 2))) (then
    (memory.copy (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 1))) (local.get $text) (local.get $length))))
  (call $JS_FreeCString (global.get $ctx) (local.get $text))
  (call $number (f64.convert_i32_u (local.get $length))))

;; (size): the input buffer as an ArrayBuffer, or undefined if it has that size and
;; so is the one that the SDK knows: it only ever grows.
(func $js.input (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
  (if (i32.eq (global.get $in.size) (call $int (local.get $argv) (i32.const 0))) (then (return (i64.const 0x300000000))))
  (call $JS_NewArrayBuffer (global.get $ctx) (global.get $in) (global.get $in.size) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

(func $js.output (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) (local $size i32) ;; (size): the other buffer, which it makes larger
  (local.set $size (call $int (local.get $argv) (i32.const 0)))
  (if (i32.gt_u (local.get $size) (global.get $io.size)) (then
    (global.set $io (call $realloc (global.get $io) (local.get $size)))
    (if (i32.eqz (global.get $io)) (then (unreachable)))
    (global.set $io.size (local.get $size))))
  (call $JS_NewArrayBuffer (global.get $ctx) (global.get $io) (global.get $io.size) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

(func $js.eval (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) ;; (at, length, name at, flags): what is at both ends with a zero
  (call $JS_Eval (global.get $ctx) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 0))) (call $int (local.get $argv) (i32.const 1)) (i32.add (global.get $io) (call $int (local.get $argv) (i32.const 2))) (call $int (local.get $argv) (i32.const 3))))

(func $js.jobs (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) ;; runs what waits for a promise, until nothing does
  (block $done (loop $more
    (br_if $more (i32.gt_s (call $JS_ExecutePendingJob (global.get $rt) (global.get $scratch)) (i32.const 0)))))
  (i64.const 0x300000000))

(func $js.trap (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64) (unreachable))
