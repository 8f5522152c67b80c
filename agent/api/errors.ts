import { WeftError } from '../lib/errors.ts'
import type { ApiError } from './types.ts'

/** A request that cannot be answered as asked; becomes `{error: {code, message, hint}}` with this HTTP status. */
export class ApiRequestError extends WeftError {
  readonly status: number

  constructor(status: number, code: string, message: string, hint?: string) {
    super(code, message, { hint })
    this.status = status
  }
}

/** The socket cannot be listened on; the agent does not start. */
export class ApiSocketError extends WeftError {}

/** No answer from an agent, or an answer that says no. */
export class ApiClientError extends WeftError {}

export function isApiError(body: unknown): body is ApiError {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error
  return typeof error?.code === 'string' && typeof error.message === 'string'
}
