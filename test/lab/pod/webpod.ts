import { createSocket } from 'node:dgram'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/**
 * The web server of a pod: answers who it is and whom it saw, as traefik/whoami does.
 *
 *   GET /         Hostname, RemoteAddr and the request as text
 *   GET /stream   a numbered line every 100 ms for as long as the client stays (`?count=N`: N lines)
 *   UDP 80        `HOSTNAME PEER PAYLOAD` for every datagram
 *
 * On SIGTERM it goes on serving for the grace time, as a pod with a preStop delay does: its address leaves the
 * service first, its last connections end after that.
 */

const [hostname = 'webpod', address = '0.0.0.0', graceMs = '1000'] = process.argv.slice(2)
const PORT = 80
const STREAM_INTERVAL_MS = 100

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://pod')
  if (url.pathname === '/stream') return stream(response, Number(url.searchParams.get('count') ?? Infinity))
  const { remoteAddress = '', remotePort = 0, localAddress = '' } = request.socket
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}`)
  const lines = [
    `Hostname: ${hostname}`,
    `IP: ${localAddress}`,
    `RemoteAddr: ${remoteAddress}:${String(remotePort)}`,
    `${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/${request.httpVersion}`,
    ...headers,
  ]
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  // Without a length, the end of an HTTP/1.0 answer is our closing first: the client's port is free again at once.
  if (request.httpVersion === '1.0') response.write('')
  response.end(`${lines.join('\n')}\n`)
}

function stream(response: ServerResponse, count: number): void {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  let sent = 0
  const timer = setInterval(() => {
    sent += 1
    response.write(`${String(sent)} ${hostname}\n`)
    if (sent < count) return
    clearInterval(timer)
    response.end()
  }, STREAM_INTERVAL_MS)
  response.on('close', () => {
    clearInterval(timer)
  })
}

const http = createServer(answer).listen(PORT, address)
const udp = createSocket('udp4')
udp.on('message', (payload, peer) => {
  udp.send(`${hostname} ${peer.address}:${String(peer.port)} ${payload.toString('utf8')}`, peer.port, peer.address)
})
udp.bind(PORT, address)

process.on('SIGTERM', () => {
  setTimeout(() => {
    http.close()
    http.closeAllConnections()
    udp.close()
  }, Number(graceMs))
})
