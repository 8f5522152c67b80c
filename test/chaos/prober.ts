import { connect } from 'node:net'
import { monotonic } from './monotonic.ts'
import type { Answer, Target } from './requests.ts'

/**
 * Runs in a pod, or on the client: asks each target again and again, a new connection every time, and prints what came of it,
 * a line of JSON for each request.
 *
 *   node prober.js INTERVAL_MS TIMEOUT_MS TARGETS_JSON
 */

const [interval = '200', timeout = '3000', json = '[]'] = process.argv.slice(2)
const targets = JSON.parse(json) as Target[]

function ask({ name, host, port }: Target): void {
  const start = monotonic()
  let text = ''
  let connected = false
  const socket = connect({ host, port })
  const done = (outcome: string, by?: string): void => {
    clearTimeout(late)
    const own = socket.address()
    const from = 'port' in own ? own.port : 0
    socket.removeAllListeners().on('error', () => undefined)
    socket.destroy()
    const answer: Answer = { route: name, start, end: monotonic(), outcome, from, ...(by === undefined ? {} : { by }) }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
  const late = setTimeout(() => done(connected ? 'no answer' : 'no connection'), Number(timeout))
  socket.setEncoding('latin1')
  socket.once('connect', () => {
    connected = true
    socket.write(`GET / HTTP/1.0\r\nhost: ${name}\r\n\r\n`)
  })
  socket.on('data', (chunk: string) => (text += chunk))
  socket.once('end', () => {
    const by = /^Hostname: (.+)$/m.exec(text)?.[1]
    done(by === undefined ? 'cut short' : 'ok', by)
  })
  socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
}

// Nobody reads any more: the storm is over, however it ended.
process.stdout.on('error', () => process.exit(0))

for (const [i, target] of targets.entries()) {
  const every = Number(interval)
  setTimeout(() => setInterval(() => ask(target), every), (every * i) / targets.length)
}
