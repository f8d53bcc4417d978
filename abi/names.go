package abi

// Exports of a guest.
const (
	ExportMemory     = "memory"
	ExportInitialize = "_initialize"   // () once, optional
	ExportSource     = "weir_source"   // (len i32) -> i64 Packed, optional: name and text of a source file
	ExportDescribe   = "weir_describe" // () -> i64 Packed: the manifest
	ExportBuf        = "weir_buf"      // (min i32) -> i32: address of the input buffer
	ExportCall       = "weir_call"     // (fn i32, len i32) -> i64 Packed
)

// Host functions in Module. Every one returns a value >= 0 or -Errno.
const (
	ImportQuery        = "query"         // (stmt, args_ptr, args_len i32) -> i32 handle
	ImportQuerySQL     = "query_sql"     // (sql_ptr, sql_len, args_ptr, args_len i32) -> i32 handle
	ImportExec         = "exec"          // (stmt, args_ptr, args_len i32) -> i32 handle
	ImportRowsAffected = "rows_affected" // (h i32) -> i64
	ImportRowsLen      = "rows_len"      // (h i32) -> i32
	ImportRowsRead     = "rows_read"     // (h, from, buf, cap i32) -> i32 length of a page
	ImportRowsColumns  = "rows_columns"  // (h, buf, cap i32) -> i32 length of an array of names
	ImportRowsPick     = "rows_pick"     // (h, idx_ptr, n i32) -> i32; idx: n little-endian u32
	ImportRowsProject  = "rows_project"  // (h, cols_ptr, n i32) -> i32; cols: n little-endian u32
	ImportRowsNest     = "rows_nest"     // (h, name_ptr, name_len, child_h, on_col, child_col i32) -> i32
	ImportClose        = "close"         // (h i32) -> i32
	ImportNow          = "now"           // () -> i64 microseconds since 1970
	ImportWakeAt       = "wake_at"       // (us i64) -> i32
	ImportRandom       = "random"        // (ptr, len i32) -> i32
	ImportLog          = "log"           // (level, ptr, len i32) -> i32
	ImportConfig       = "config"        // (key_ptr, key_len, buf, cap i32) -> i32 length
	ImportError        = "error"         // (buf, cap i32) -> i32 length: text of the last errno
)

// Log levels of ImportLog.
const (
	LogDebug = 0
	LogInfo  = 1
	LogWarn  = 2
	LogError = 3
)

// Bounds that are part of the contract. Limits that an operator may change live
// in the host's configuration.
const (
	// InputBuffer is the size of the buffer that a guest offers at load.
	InputBuffer = 64 << 10
	// MaxDepth is how deep CBOR and JSON may nest.
	MaxDepth = 32
	// MaxError is the largest error value in bytes.
	MaxError = 8 << 10
	// MaxFragments is how many optional fragments a statement may have; each
	// combination is checked and explained when the plugin loads.
	MaxFragments = 6
	// MaxStatementText is the largest statement text in bytes.
	MaxStatementText = 64 << 10
	// MaxParameters is how many parameters a statement may have.
	MaxParameters = 256
	// MaxStatements is how many statements a manifest may have.
	MaxStatements = 1000
	// MaxFunctions is how many functions a manifest may have.
	MaxFunctions = 1000
	// MaxNest is how deep statements may nest (Statement.Nest). Each level is one
	// more statement, after the one above it, in every execution.
	MaxNest = 4
	// MaxManifest is the largest manifest in bytes.
	MaxManifest = 1 << 20
)

// maxName is the longest name of a function, field or parameter in bytes.
const maxName = 128
