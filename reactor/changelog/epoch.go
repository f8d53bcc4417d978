package changelog

// EpochSQL is the scalar SQL expression whose text is the reactor.Epoch, for
// PostgreSQL 15 and later. It stands in the log statement and in the first
// statement of every execution (C4).
//
// Its parts: system identifier; the timeline that is written now (that of the
// last checkpoint would lag behind a promotion); the postmaster's start; and
// when the statistics were last reset, which crash recovery inside one
// postmaster does too. Numbers only, so that no session setting changes the
// text. About 12 µs, most of it the system identifier.
const EpochSQL = epochHead + `extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.text)`

const epochHead = `pg_catalog.concat_ws('/',
 (select c.system_identifier from pg_catalog.pg_control_system() c),
 case when pg_catalog.pg_is_in_recovery() then 'standby'
  else pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) end,
 extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text, `

// epoch14 asks the unlogged table weir.life, which crash recovery empties. On
// PostgreSQL 14 statistics live in a file of the collector: reading them may
// wait for it, too slow for a poll.
const epoch14 = epochHead + `coalesce((select pg_catalog.min(l.id) from weir.life l), ''))`

// EpochExpr returns the expression for a server version in the form of
// server_version_num, 150018. A role that evaluates it on PostgreSQL 14 needs
// SELECT on weir.life, which Setup grants to the guest role.
func EpochExpr(serverVersion int) string {
	if serverVersion < 150000 {
		return epoch14
	}
	return EpochSQL
}
