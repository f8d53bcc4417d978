package conform

import (
	"slices"

	"weir/abi"
)

// HostFunctions returns the host functions of the contract, in the order of its
// table.
func HostFunctions() []Function { return slices.Clone(hostFunctions) }

var hostFunctions = []Function{
	{abi.Module, abi.ImportQuery, "iii:i"},
	{abi.Module, abi.ImportQuerySQL, "iiii:i"},
	{abi.Module, abi.ImportExec, "iii:i"},
	{abi.Module, abi.ImportRowsAffected, "i:I"},
	{abi.Module, abi.ImportRowsLen, "i:i"},
	{abi.Module, abi.ImportRowsRead, "iiii:i"},
	{abi.Module, abi.ImportRowsColumns, "iii:i"},
	{abi.Module, abi.ImportRowsPick, "iii:i"},
	{abi.Module, abi.ImportRowsProject, "iii:i"},
	{abi.Module, abi.ImportRowsNest, "iiiiii:i"},
	{abi.Module, abi.ImportClose, "i:i"},
	{abi.Module, abi.ImportNow, ":I"},
	{abi.Module, abi.ImportWakeAt, "I:i"},
	{abi.Module, abi.ImportRandom, "ii:i"},
	{abi.Module, abi.ImportLog, "iii:i"},
	{abi.Module, abi.ImportConfig, "iiii:i"},
	{abi.Module, abi.ImportError, "ii:i"},
}

// WASIFunctions returns what may be imported of WASI preview 1.
func WASIFunctions() []Function {
	all := make([]Function, len(wasiTypes))
	for i, f := range wasiTypes {
		all[i] = Function{abi.WASIModule, f[0], f[1]}
	}
	return all
}

var wasiTypes = [][2]string{
	{"args_get", "ii:i"},
	{"args_sizes_get", "ii:i"},
	{"environ_get", "ii:i"},
	{"environ_sizes_get", "ii:i"},
	{"clock_res_get", "ii:i"},
	{"clock_time_get", "iIi:i"},
	{"random_get", "ii:i"},
	{"sched_yield", ":i"},
	{"poll_oneoff", "iiii:i"},
	{"fd_write", "iiii:i"},
	{"fd_prestat_get", "ii:i"},
	{"fd_prestat_dir_name", "iii:i"},
	{"proc_exit", "i:"},
	// What may be imported and fails.
	{"fd_advise", "iIIi:i"},
	{"fd_allocate", "iII:i"},
	{"fd_close", "i:i"},
	{"fd_datasync", "i:i"},
	{"fd_fdstat_get", "ii:i"},
	{"fd_fdstat_set_flags", "ii:i"},
	{"fd_fdstat_set_rights", "iII:i"},
	{"fd_filestat_get", "ii:i"},
	{"fd_filestat_set_size", "iI:i"},
	{"fd_filestat_set_times", "iIIi:i"},
	{"fd_pread", "iiiIi:i"},
	{"fd_pwrite", "iiiIi:i"},
	{"fd_read", "iiii:i"},
	{"fd_readdir", "iiiIi:i"},
	{"fd_renumber", "ii:i"},
	{"fd_seek", "iIii:i"},
	{"fd_sync", "i:i"},
	{"fd_tell", "ii:i"},
	{"path_create_directory", "iii:i"},
	{"path_filestat_get", "iiiii:i"},
	{"path_filestat_set_times", "iiiiIIi:i"},
	{"path_link", "iiiiiii:i"},
	{"path_open", "iiiiiIIii:i"},
	{"path_readlink", "iiiiii:i"},
	{"path_remove_directory", "iii:i"},
	{"path_rename", "iiiiii:i"},
	{"path_symlink", "iiiii:i"},
	{"path_unlink_file", "iii:i"},
	{"proc_raise", "i:i"},
	{"sock_accept", "iii:i"},
	{"sock_recv", "iiiiii:i"},
	{"sock_send", "iiiii:i"},
	{"sock_shutdown", "ii:i"},
}

// GuestExports returns what a guest exports: the required functions, then the
// optional ones.
func GuestExports() (required, optional []Function) {
	required = []Function{{"", abi.ExportDescribe, ":I"}, {"", abi.ExportBuf, "i:i"}, {"", abi.ExportCall, "ii:I"}}
	optional = []Function{{"", abi.ExportInitialize, ":"}, {"", abi.ExportSource, "i:I"}}
	return required, optional
}

func find(all []Function, module, name string) (Function, bool) {
	at := slices.IndexFunc(all, func(f Function) bool { return f.Module == module && f.Name == name })
	if at < 0 {
		return Function{}, false
	}
	return all[at], true
}
