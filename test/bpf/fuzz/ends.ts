import type { FlowKeyFields } from '../../../agent/maps/flow.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import type { PacketSpec } from '../packet.ts'
import { NODE, POD } from '../world.ts'

export const CLIENTS = ['192.0.2.10', '192.0.2.10', '192.0.2.11', '203.0.113.5', '172.18.0.3', '172.18.0.44', NODE, POD]
export const CLIENT_PORTS = [40000, 40000, 40001, 40002, 40008, 6081, 1024, 32767, 32768, 65535, 0]

/** An echo's identifier stands for the asking side's port. */
export function ofKey({ source, destination, sourcePort, destinationPort, protocol }: FlowKeyFields): PacketSpec {
  const ends = { src: formatAddress(source), dst: formatAddress(destination) }
  if (protocol !== 1)
    return { ...ends, sport: sourcePort, dport: destinationPort, proto: protocol === 6 ? 'tcp' : 'udp' }
  const asks = destinationPort === 0
  return { ...ends, proto: 'icmp', icmp: { type: asks ? 8 : 0, id: asks ? sourcePort : destinationPort } }
}
