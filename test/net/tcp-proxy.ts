import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** A TCP proxy that fails on demand. */
export class TcpProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #budget = Infinity
  #mute = false
  readonly url: string
  /** How often the connection was cut for having used up its budget. */
  cuts = 0

  private constructor(server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(target: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(target)
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const proxy = new TcpProxy(server)
    server.on('connection', (inner) => proxy.#join(inner, connect(Number(port), hostname)))
    return proxy
  }

  #join(inner: Socket, outer: Socket): void {
    for (const socket of [inner, outer]) {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        // Muted, the client does not learn that the server has gone.
        if (socket === outer && this.#mute) return
        inner.destroy()
        outer.destroy()
      })
    }
    inner.on('data', (data) => this.#mute || outer.write(data))
    outer.on('data', (data) => {
      if (this.#mute) return
      this.#budget -= data.length
      if (this.#budget > 0) return void inner.write(data)
      this.cuts++
      this.#budget = Infinity
      this.cut()
    })
  }

  /** Ends all connections with a reset. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Ends them all once the server has sent that many bytes more; what comes last is lost. */
  cutAfter(bytes: number): void {
    this.#budget = bytes
  }

  /** Swallows everything both ways, the end of the server included; connections are accepted and never answered. */
  mute(yes: boolean): void {
    this.#mute = yes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
