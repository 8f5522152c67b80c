import { pino } from 'pino'

/** What the code needs of a logger; pino satisfies it, tests pass `silentLog`. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(bindings: object): Log
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * JSON lines on stderr, written synchronously: a line logged right before a crash is not lost, and stdout stays free
 * for data. No pino transport: those run in a worker thread, where the FFI library must never be loaded.
 */
export function createLog(level: LogLevel, name: string): Log {
  return pino(
    { level, name, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  )
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
}
