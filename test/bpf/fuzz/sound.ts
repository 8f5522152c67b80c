import { sum } from './model/checksum.ts'
import { ETH, ICMP, TCP, UDP } from './model/parse.ts'
import { carried, layoutOf, type Layout, transportSum } from './layout.ts'

/** Whether all checksums of a packet are right, also of one that it carries or quotes; undefined for what is none. */
export function isSound(frame: Buffer): boolean | undefined {
  const layout = layoutOf(frame)
  if (layout === undefined) return undefined
  if (sum(frame.subarray(ETH, layout.l4)) !== 0xffff) return false
  // Of a fragment there is no more to be seen.
  if (!layout.whole) return true
  const { at, end, protocol } = layout
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP) return true
  if (at + 2 > end) return undefined
  const unchecked = protocol === UDP && frame.readUInt16BE(at) === 0
  if (!unchecked && transportSum(frame, layout) !== 0xffff) return false
  if (protocol === ICMP) return isQuoteSound(frame, layout)
  const inner = carried(frame.subarray(0, end))
  return inner === undefined ? true : isSound(inner)
}

/** Of an error: the header of the packet that it is about. */
function isQuoteSound(frame: Buffer, { l4, end }: Layout): boolean {
  const quote = l4 + 8
  if ((frame[l4] !== 3 && frame[l4] !== 11) || quote + 20 > end) return true
  const bytes = (frame[quote]! & 15) * 4
  if (frame[quote]! >> 4 !== 4 || bytes < 20 || quote + bytes > end) return true
  return sum(frame.subarray(quote, quote + bytes)) === 0xffff
}
