import { WeftError } from '../../lib/errors.ts'
import type { Cluster } from '../../types/cluster.ts'

/** The row with one more of `what`: a code of its own, or the error that ended a session. */
export function countLoss(row: Cluster, what: string | Error): Cluster {
  const code = typeof what === 'string' ? what : what instanceof WeftError ? what.code : 'etcd-unavailable'
  return { ...row, losses: { ...row.losses, [code]: (row.losses?.[code] ?? 0) + 1 } }
}
