import { WeftError } from '../../agent/lib/errors.ts'

/** The lab could not do what it was asked; `hint` says what to do next. */
export class LabError extends WeftError {}
