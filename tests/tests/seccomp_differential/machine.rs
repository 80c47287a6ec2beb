//! Classic BPF as seccomp(2) runs it.

/// Code, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// struct seccomp_data
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub token: u32,
    pub number: u32,
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64, high: bool| {
            let half = if high {
                value >> 32
            } else {
                value & 0xffff_ffff
            };
            u32::try_from(half).unwrap()
        };
        match offset {
            0 => self.number,
            4 => self.token,
            16..64 => {
                let argument = self.args[usize::try_from((offset - 16) / 8).unwrap()];
                half(argument, (offset - 16) % 8 == 4)
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// `CODE,JT,JF,K` in hexadecimal.
pub fn instruction(text: &str) -> Instruction {
    let mut fields = text
        .split(',')
        .map(|field| u32::from_str_radix(field, 16).unwrap());
    let mut next = || fields.next().unwrap();
    let narrow = |number: u32| u8::try_from(number).unwrap();
    let code = u16::try_from(next()).unwrap();
    (code, narrow(next()), narrow(next()), next())
}

/// What a filter says to a call.
pub fn run(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let (code, jt, jf, k) = program[at];
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x45 => branch(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}
