import type { Problem } from '../types/problem.ts'
import type { Protocol } from '../types/service.ts'
import { PROTOCOL_NAMES } from '../types/service.ts'

/** Whether the datapath translates it. Ports of other protocols are refused as a whole: none of their frontends is written. */
export function isBalanced(protocol: Protocol): boolean {
  return protocol === 6 || protocol === 17
}

/** `what` names object and port. */
export function notBalanced(what: string, protocol: Protocol): Problem {
  return {
    code: 'protocol-not-balanced',
    message: `${what} is ${PROTOCOL_NAMES[protocol]}, which is not balanced: the port is not answered`,
    hint: 'let clients reach such pods by their own addresses (a headless service names them), or use TCP or UDP',
  }
}
