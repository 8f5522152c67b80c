import { isIP } from 'node:net'

export interface ListenAddress {
  /** Undefined for all addresses. */
  readonly host: string | undefined
  readonly port: number
}

const FORM = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/

/** `:9962`, `127.0.0.1:9962`, `[::1]:9962`; whoever takes it from people checks it with `isListenAddress`. */
export function parseListenAddress(text: string): ListenAddress {
  const [, v6, v4, port] = FORM.exec(text) ?? []
  return { host: (v6 ?? v4) || undefined, port: Number(port) }
}

export function isListenAddress(text: string): boolean {
  const [, v6, v4] = FORM.exec(text) ?? []
  const { port } = parseListenAddress(text)
  const known = v6 === undefined ? v4 === '' || isIP(v4 ?? '') === 4 : isIP(v6) === 6
  return known && port >= 1 && port <= 65535
}
