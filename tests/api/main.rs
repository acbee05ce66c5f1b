mod x {
    #[test]
    fn local() {
        println!("{}", env!("CARGO_BIN_EXE_scim-local"));
    }
}
