import type { ChannelCredentials, ChannelInterface, ChannelOptions } from '@grpc/grpc-js'
import { Channel, connectivityState } from '@grpc/grpc-js'
import { createHash } from 'node:crypto'

interface Shared {
  readonly channel: Channel
  users: number
}

/**
 * Connections that clients of one owner share: all that go to the same place with the same certificates use one.
 *
 * A client that closes has had enough of its connection, perhaps because nothing comes back on it: no later client is given
 * that one. Those that still use it go on, and it is closed after the last of them.
 */
export class EtcdChannels {
  readonly #open = new Map<string, Shared>()

  /** For `channelFactoryOverride` of a client; `secrets` are what its credentials were made of. */
  factory(
    secrets: readonly (Buffer | undefined)[],
  ): (address: string, credentials: ChannelCredentials, options: ChannelOptions) => ChannelInterface {
    const hash = createHash('sha256')
    for (const secret of secrets) hash.update(`${secret?.length ?? 'none'}:`).update(secret ?? '')
    const identity = hash.digest('hex')
    return (address, credentials, options) => {
      const key = `${address} ${identity}`
      let shared = this.#open.get(key)
      if (shared === undefined || !isUsable(shared.channel)) {
        shared = { channel: new Channel(address, credentials, options), users: 0 }
        this.#open.set(key, shared)
      }
      return this.#use(key, shared)
    }
  }

  #use(key: string, shared: Shared): ChannelInterface {
    const { channel } = shared
    let closed = false
    shared.users++
    return {
      close: () => {
        if (closed) return
        closed = true
        if (this.#open.get(key) === shared) this.#open.delete(key)
        if (--shared.users === 0) channel.close()
      },
      getTarget: () => channel.getTarget(),
      getConnectivityState: (tryToConnect) =>
        closed ? connectivityState.SHUTDOWN : channel.getConnectivityState(tryToConnect),
      watchConnectivityState: (state, deadline, callback) => {
        if (closed) throw new Error('the channel is closed')
        channel.watchConnectivityState(state, deadline, callback)
      },
      getChannelzRef: () => channel.getChannelzRef(),
      createCall: (...call) => {
        if (closed) throw new Error('the channel is closed')
        return channel.createCall(...call)
      },
    }
  }
}

function isUsable(channel: Channel): boolean {
  const state = channel.getConnectivityState(false)
  return state !== connectivityState.TRANSIENT_FAILURE && state !== connectivityState.SHUTDOWN
}
