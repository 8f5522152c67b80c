import { createSocket, type RemoteInfo, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP server that greets everybody with its name. */
export async function tcpServer(name: string, host: string, port = 0): Promise<Server> {
  const server = createServer((socket) => {
    // A client that closes early resets the connection: its own affair.
    socket.on('error', () => socket.destroy())
    socket.end(name)
  })
  server.listen(port, host)
  await once(server, 'listening')
  return server
}

/** A UDP server that answers every datagram with its name. */
export async function udpServer(name: string, host: string, port = 0): Promise<Datagrams> {
  const server = createSocket('udp4')
  server.on('message', (_message, from) => server.send(name, from.port, from.address))
  server.bind(port, host)
  await once(server, 'listening')
  return server
}

export function portOf(server: Server | Datagrams): number {
  return (server.address() as AddressInfo).port
}

export interface Answer {
  /** What the server said. */
  readonly name: string
  /** Whom the client believes to talk to. */
  readonly peer: string
}

/** Connect, read the greeting, close. Rejects with the error of the call. */
export async function tcpAsk(host: string, port: number): Promise<Answer> {
  const socket: Socket = connect({ host, port })
  try {
    await once(socket, 'connect')
    const peer = `${socket.remoteAddress}:${socket.remotePort}`
    let name = ''
    for await (const chunk of socket) name += String(chunk)
    return { name, peer }
  } finally {
    socket.destroy()
  }
}

/** Send one datagram on a socket and wait for the answer. `connected`: by connect and send, in place of sendto. */
export async function udpAsk(socket: Datagrams, host: string, port: number, connected = false): Promise<Answer> {
  if (connected) {
    socket.connect(port, host)
    await once(socket, 'connect')
  }
  const answer = once(socket, 'message') as Promise<[Buffer, RemoteInfo]>
  await new Promise<void>((resolve, reject) => {
    const sent = (error: Error | null) => (error === null ? resolve() : reject(error))
    if (connected) socket.send('?', sent)
    else socket.send('?', port, host, sent)
  })
  const [message, from] = await answer
  return { name: message.toString(), peer: `${from.address}:${from.port}` }
}
