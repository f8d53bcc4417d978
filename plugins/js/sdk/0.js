const [query, exec, rowsAffected, rowsLen, rowsRead, rowsColumns, rowsPick, hostNow, wakeAtMicros, random, hostLog, hostConfig, hostError,
  textAt, put, input, output, evaluate, jobs, trap] = host
return (what, a, b) => { const x = new Uint8Array(output(0)); x[0] = 1 + 1; return 1 }
