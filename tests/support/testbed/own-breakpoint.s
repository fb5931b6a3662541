# Has the processor stop where a function of the kernel begins; it is never called.
  .text
  .globl init_module
init_module:
  endbr64
  lea watched(%rip), %rax
  mov %rax, %dr0
  mov $0x402, %eax
  mov %rax, %dr7
  xor %eax, %eax
  ret
watched:
  ret
